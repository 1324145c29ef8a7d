"""A built module is the same whoever builds it and wherever, and has SIMD, or it is not written at all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rig import PROJECT

sys.path.insert(0, str(PROJECT / "scripts"))
from check_simd import has_simd  # noqa: E402
from own_exports import with_own_exports  # noqa: E402

FIXTURE = Path("tests/fixtures/empty")

# Flags that harm nobody and have no SIMD in them, in each place from which cargo takes flags.
OTHER_FLAGS = "-Cdebug-assertions=off"
PLACES = ("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS")
CONFIGURATION = f"""
[build]
rustflags = ["{OTHER_FLAGS}"]
[target.wasm32-wasip1]
rustflags = ["{OTHER_FLAGS}"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """As much of a project as the script needs, with a crate that builds in seconds."""
    shutil.copytree(PROJECT / "scripts", tmp_path / "scripts")
    shutil.copytree(PROJECT / FIXTURE, tmp_path / FIXTURE)
    return tmp_path


def build(project: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scripts/build-wasm.sh", str(FIXTURE), "module.wasm"],
        cwd=project,
        env={**{name: value for name, value in os.environ.items() if name not in PLACES}, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


def built(project: Path, **environment: str) -> bytes:
    done = build(project, **environment)
    assert done.returncode == 0, done.stderr
    module = (project / "module.wasm").read_bytes()
    shutil.rmtree(project / "target")
    return module


def test_flags_of_others_do_not_change_the_module(project: Path) -> None:
    alone = built(project)
    assert has_simd(alone)
    assert built(project, **dict.fromkeys(PLACES, OTHER_FLAGS)) == alone
    (project / ".cargo").mkdir()
    (project / ".cargo" / "config.toml").write_text(CONFIGURATION)
    assert built(project) == alone


def test_a_module_without_simd_is_not_written(project: Path) -> None:
    # A cargo that takes no flags at all from the script.
    (project / "bin").mkdir()
    cargo = project / "bin" / "cargo"
    cargo.write_text(f'#!/bin/sh\nexec env -u CARGO_ENCODED_RUSTFLAGS "{shutil.which("cargo")}" "$@"\n')
    cargo.chmod(0o755)
    done = build(project, PATH=f"{cargo.parent}:{os.environ['PATH']}")
    assert done.returncode != 0 and "has no instruction of SIMD" in done.stderr, done.stderr
    assert not list(project.glob("module.wasm*"))


def test_a_module_does_not_say_where_it_was_built() -> None:
    text = (PROJECT / "dist" / "retrohook.wasm").read_bytes()
    for place in (b"registry/src", bytes(Path.home()), bytes(PROJECT)):
        assert place not in text, place


def module(*code: int) -> bytes:
    """A module with a custom section and one function."""
    body = bytes([1, 2, 0x7F, *code, 0x0B])
    section = bytes([1, len(body), *body])
    return b"\0asm\1\0\0\0" + bytes([0, 4, 1, 0x61, 0xFD, 0x0C, 10, len(section), *section])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ([], False),
        # Its operands are the bytes of an instruction of SIMD: `i32.const 253`, `f32.const`, `br_table`, a load.
        ([0x41, 0xFD, 0x01, 0x1A], False),
        ([0x43, 0xFD, 0x0C, 0xFD, 0x0C, 0x1A], False),
        ([0x41, 0x00, 0x0E, 0x01, 0xFD, 0x00, 0x00], False),
        ([0x41, 0x00, 0x28, 0x02, 0xFD, 0x01, 0x1A], False),
        # `v128.const` and `drop`; behind a `memory.fill`.
        ([0xFD, 0x0C, *bytes(16), 0x1A], True),
        ([0x41, 0x00, 0x41, 0x00, 0x41, 0x00, 0xFC, 0x0B, 0x00, 0xFD, 0x0C, *bytes(16), 0x1A], True),
    ],
)
def test_an_instruction_is_told_from_what_looks_like_one(code: list[int], expected: bool) -> None:
    assert has_simd(module(*code)) == expected


@pytest.mark.parametrize("wrong", [b"", b"\x7fELF", module(0x06), module(0x44)])
def test_what_cannot_be_read_is_no_module_without_simd(wrong: bytes) -> None:
    with pytest.raises(ValueError):
        has_simd(wrong)


def exporting(*names: str) -> bytes:
    """A module with one function and these exports of it."""
    entries = b"".join(bytes([len(name)]) + name.encode() + b"\0\0" for name in names)
    exports = bytes([len(names)]) + entries
    return b"\0asm\1\0\0\0" + b"\1\4\1\x60\0\0" + b"\3\2\1\0" + bytes([7, len(exports)]) + exports + b"\n\4\1\2\0\x0b"


def test_an_export_of_the_filter_changes_names_with_that_of_the_sdk() -> None:
    module = exporting("memory", "proxy_on_tick", "retro_on_tick", "proxy_on_log")
    assert with_own_exports(module) == exporting("memory", "retro_on_tick", "proxy_on_tick", "proxy_on_log")
    assert with_own_exports(exporting("proxy_on_tick")) == exporting("proxy_on_tick")
    with pytest.raises(ValueError, match="retro_on_tick has no proxy_on_tick"):
        with_own_exports(exporting("retro_on_tick", "proxy_on_log"))
