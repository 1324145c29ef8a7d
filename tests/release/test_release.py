"""What `make release` writes: all of it, the same each time, and nothing that a user could not check."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from rig import PROJECT
from rig.gateway import wasm_path
from rig.release import make_release, platform, version

SUMMED = {
    "retrohook.wasm", "retrohook.meta.json", "config.schema.json", "retrohook.cdx.json", "THIRD-PARTY-NOTICES.txt",
    "retrohook-{version}.oci.tar", "retrohook-kong-{version}.oci.tar",
    "retrohook-cli-{platform}", "retrohook-cli-{platform}.cdx.json",
}  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_run_writes_the_same_bytes(release: Path, tmp_path: Path) -> None:
    """Wherever and under whatever settings it runs: in another folder, time zone and language, with other rights."""
    other = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "1", "SOURCE_DATE_EPOCH": "1"}
    again = make_release(tmp_path / "dist", other, 0o077)
    first, second = contents(release), contents(again)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    # Over what is there already, as a developer would.
    assert contents(make_release(again)) == first


def test_the_sums_are_of_all_that_users_download(release: Path) -> None:
    lines = (release / "SHA256SUMS").read_text().splitlines()
    names = {line.split("  ")[1] for line in lines}
    assert names == {name.format(version=version(), platform=platform()) for name in SUMMED}
    assert names | {"SHA256SUMS", "oci"} == {path.name for path in release.iterdir()}
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=release, check=True)


def test_the_module_and_the_schemas_are_the_project_s(release: Path) -> None:
    assert (release / "config.schema.json").read_bytes() == (PROJECT / "docs" / "config.schema.json").read_bytes()
    assert (release / "retrohook.wasm").read_bytes() == wasm_path().read_bytes()
    assert (release / "retrohook.meta.json").read_bytes() == (PROJECT / "kong" / "retrohook.meta.json").read_bytes()


@pytest.mark.parametrize("name", ["retrohook", "retrohook-kong"])
def test_a_tar_is_its_folder(release: Path, name: str) -> None:
    folder = release / "oci" / name
    with tarfile.open(release / f"{name}-{version()}.oci.tar") as tar:
        entries = {entry.name: entry for entry in tar}
        files = {path: tar.extractfile(entry).read() for path, entry in entries.items() if entry.isfile()}
    assert files == contents(folder)
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries.values()} == {(0, 0, 0, "", "")}


def test_a_release_without_the_program_is_whole(tmp_path: Path, release: Path) -> None:
    script = PROJECT / "scripts" / "release.py"
    subprocess.run([sys.executable, script, "--output", tmp_path / "dist"], check=True, timeout=120)
    names = {path.name for path in (tmp_path / "dist").iterdir()}
    program = f"retrohook-cli-{platform()}"
    assert {path.name for path in release.iterdir()} - names == {program, f"{program}.cdx.json"}


def test_what_is_not_built_is_said_in_a_line(tmp_path: Path) -> None:
    script = PROJECT / "scripts" / "release.py"
    arguments = ["--output", tmp_path / "dist", "--program", tmp_path / "none"]
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path / 'none'} is missing: `make release` builds all that a release is made of\n"


def test_the_program_is_built_without_the_places_of_this_machine(tmp_path: Path) -> None:
    """To build it takes minutes: here is how cargo is asked to, on a machine that has fetched nothing before."""
    tools, home = tmp_path / "bin", tmp_path / "a home" / "cargo"
    sources = home / "registry" / "src" / "index-1"
    tools.mkdir()
    cargo = tools / "cargo"
    cargo.write_text(
        '#!/bin/sh\nif [ "$1" = fetch ]; then mkdir -p "$CARGO_HOME/registry/src/index-1"; exit; fi\n'
        'printf %s "$CARGO_ENCODED_RUSTFLAGS" >"$CALLED"\n'
        'while [ "$1" != --target-dir ]; do shift; done\nmkdir -p "$2/release"\necho program >"$2/release/retrohook"\n'
    )
    cargo.chmod(0o755)
    copy = tmp_path / "some where"
    (copy / "scripts").mkdir(parents=True)
    for name in ("build-program.sh", "places.sh"):
        (copy / "scripts" / name).write_bytes((PROJECT / "scripts" / name).read_bytes())
    called = tmp_path / "flags"
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "CARGO_HOME": str(home), "CALLED": str(called)}
    subprocess.run(["bash", copy / "scripts" / "build-program.sh", tmp_path / "out" / "retrohook"], env=environment, check=True, timeout=60)
    assert called.read_text().split("\x1f") == [f"--remap-path-prefix={copy}=", f"--remap-path-prefix={sources}/="]
    assert (tmp_path / "out" / "retrohook").read_text() == "program\n"
    assert "scripts/build-program.sh" in (PROJECT / "Makefile").read_text()


def test_nothing_names_the_machine_that_made_it(release: Path) -> None:
    for name in ("retrohook.cdx.json", f"retrohook-cli-{platform()}.cdx.json", "THIRD-PARTY-NOTICES.txt", "SHA256SUMS"):
        text = (release / name).read_text()
        assert str(Path.home()) not in text and str(PROJECT) not in text, name
    assert json.loads((release / "retrohook.cdx.json").read_text())["metadata"]["component"]["version"] == version()
