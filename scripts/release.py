"""Writes what a release is made of, of the built module and the built program: `make release`, or

    python3 scripts/release.py [--output FOLDER] [--program FILE]

One module, program and set of sources and tools makes one set of bytes. Nothing is sent anywhere: .github/workflows/release.yml
does that.
"""

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from linked_crates import MODULE_TARGET, PACKAGE, PROGRAM, Crate, linked_crates
from notices import notices
from oci_image import Layout, files_below, tar_of
from sbom import bill_of_materials

PROJECT = Path(__file__).resolve().parent.parent
MODULE = PROJECT / "dist" / "retrohook.wasm"
META = PROJECT / "kong" / "retrohook.meta.json"
# `make schema` writes both this one and the one before; a test holds them to the code that reads configurations.
SCHEMA = PROJECT / "docs" / "config.schema.json"

# The machines that clusters of Kong have. The content is one for all.
ARCHITECTURES = ("amd64", "arm64")

# Compilers of scripts/build-wasm.sh.
_COMPILERS = ("rustc", "/usr/bin/rustc")


def release(output: Path, program: Path | None) -> None:
    module = MODULE.read_bytes()
    own, crates = linked_crates(PROJECT, PACKAGE, MODULE_TARGET)
    output.mkdir(parents=True, exist_ok=True)
    files = {
        "retrohook.wasm": module,
        "retrohook.meta.json": META.read_bytes(),
        "retrohook.cdx.json": _json(bill_of_materials(own, crates, module, rust_of(module))),
        SCHEMA.name: SCHEMA.read_bytes(),
    }
    if program is not None:
        more, crates_of_program = program_files(program)
        files |= more
        crates = sorted({crate.id: crate for crate in [*crates, *crates_of_program]}.values(), key=lambda crate: crate.id)
    files["THIRD-PARTY-NOTICES.txt"] = notices(own, crates).encode()
    for name, folder in images(output, own, files).items():
        files[f"{name}-{own.version}.oci.tar"] = tar_of(files_below(folder))
    for name, content in files.items():
        (output / name).write_bytes(content)
    (output / "SHA256SUMS").write_text(checksums(files))


def program_files(program: Path) -> tuple[dict[str, bytes], list[Crate]]:
    """The command line program under the name of this machine's platform, its bill, and crates of others in it."""
    platform = about_compiler("rustc")["host"]
    own, crates = linked_crates(PROJECT, PROGRAM, platform)
    content = program.read_bytes()
    name = f"{PROGRAM}-{platform}"
    bill = bill_of_materials(own, crates, content, rust_of(content))
    return {name: content, f"{name}.cdx.json": _json(bill)}, [crate for crate in crates if crate.checksum is not None]


def images(output: Path, own: Crate, files: dict[str, bytes]) -> dict[str, Path]:
    """Writes the layouts, and returns their folders by name."""
    texts = {name: files[name] for name in ("THIRD-PARTY-NOTICES.txt", "retrohook.cdx.json")}
    texts["LICENSE"] = (PROJECT / "LICENSE").read_bytes()
    about = {
        "org.opencontainers.image.title": own.name,
        "org.opencontainers.image.description": own.description,
        "org.opencontainers.image.licenses": own.licence,
        "org.opencontainers.image.version": own.version,
    }
    folders = {name: output / "oci" / name for name in ("retrohook", "retrohook-kong")}

    # Istio and Envoy Gateway look for this file in the last layer. Of an index they would take the image for amd64 and compare
    # `sha256` with its digest; one image has one digest for everybody.
    layout = Layout(folders["retrohook"])
    image = layout.add_image({"plugin.wasm": files["retrohook.wasm"], **texts}, ARCHITECTURES[0],
                             {**about, "module.wasm.image/variant": "compat"})  # fmt: skip
    layout.finish(image, own.version)

    # The paths are those of kong.conf below /etc/kong.
    kong = PROJECT / "kong"
    lua = files_below(kong, (kong / "lua").rglob("*.lua"))
    content = {
        "wasm/retrohook.wasm": files["retrohook.wasm"],
        "wasm/retrohook.meta.json": files["retrohook.meta.json"],
        "retrohook-aws.conf": (kong / "retrohook-aws.conf").read_bytes(),
        **lua,
        **{f"share/{name}": text for name, text in texts.items()},
    }
    layout = Layout(folders["retrohook-kong"])
    by_architecture = {architecture: layout.add_image(content, architecture, about) for architecture in ARCHITECTURES}
    layout.finish(layout.add_index(by_architecture, about), own.version)
    return folders


def rust_of(file: bytes) -> str | None:
    """The version of the compiler that made a file, which names its commit in the places where it may trap."""
    commits = set(re.findall(rb"/rustc/([0-9a-f]{40})/", file))
    for compiler in filter(shutil.which, _COMPILERS):
        about = about_compiler(compiler)
        if {about["commit-hash"].encode()} == commits:
            return about["release"]
    return None


def about_compiler(compiler: str) -> dict[str, str]:
    said = subprocess.run([compiler, "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(re.findall(r"^([\w-]+): (.*)$", said, re.MULTILINE))


def checksums(files: dict[str, bytes]) -> str:
    """As `sha256sum --check` reads them."""
    return _lines(f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in sorted(files.items()))


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Writes what a release is made of.")
    arguments.add_argument("--output", type=Path, default=MODULE.parent)
    arguments.add_argument("--program", type=Path)
    given = arguments.parse_args()
    try:
        release(given.output, given.program)
    except FileNotFoundError as missing:
        sys.exit(f"{missing.filename} is missing: `make release` builds all that a release is made of")
