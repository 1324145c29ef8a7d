"""The bills of materials and the notices: of what is in the module and the program, all of it and nothing else."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from rig import PROJECT
from rig.release import platform
from rig.release import version as own_version

sys.path.insert(0, str(PROJECT / "scripts"))
from linked_crates import MODULE_TARGET, PACKAGE, Crate, linked_crates, parse_tree  # noqa: E402
from notices import notices  # noqa: E402

RULE = "=" * 100


@dataclass(frozen=True)
class Linked:
    """A file with a bill, and the package and target that cargo knows it by."""

    file: str
    bill_file: str
    package: str
    target: str


MODULE = Linked("retrohook.wasm", "retrohook.cdx.json", PACKAGE, MODULE_TARGET)
PROGRAM = Linked(f"retrohook-cli-{platform()}", f"retrohook-cli-{platform()}.cdx.json", "retrohook-cli", platform())


@pytest.fixture(params=[MODULE, PROGRAM], ids=["module", "program"])
def linked(request: pytest.FixtureRequest) -> Linked:
    return request.param


@pytest.fixture
def text(release: Path, linked: Linked) -> str:
    return (release / linked.bill_file).read_text()


@pytest.fixture
def bill(text: str) -> dict[str, Any]:
    return json.loads(text)


def crates_in(bill: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["name"], each["version"]) for each in bill["components"] if each.get("purl", "").startswith("pkg:cargo/")}


def test_it_is_valid_by_the_schema_of_cyclonedx(text: str) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"library"', '"crate"', 1)) is not None, "the validator looks"


def test_it_lists_the_crates_that_cargo_links(bill: dict[str, Any], linked: Linked) -> None:
    """Another way to ask cargo: the graph of what it would compile, without compiling it."""
    done = subprocess.run(
        ["cargo", "build", "--locked", "--release", "--package", linked.package, "--target", linked.target,
         "--unit-graph", "-Z", "unstable-options"],
        cwd=PROJECT, env={**os.environ, "RUSTC_BOOTSTRAP": "1"}, stdout=subprocess.PIPE, check=True, timeout=60,
    )  # fmt: skip
    units = [unit for unit in json.loads(done.stdout)["units"] if unit["platform"] == linked.target and unit["mode"] == "build"]
    ids = [re.search(r"([^/#@]+)[#@]([^@#]+)$", unit["pkg_id"]).groups() for unit in units]
    # Of a package in a folder of its name cargo says the version alone.
    crates = {(linked.package, version) if name == "cli" else (name, version) for name, version in ids}
    own = bill["metadata"]["component"]
    assert crates - {(own["name"], own["version"])} == crates_in(bill) and len(crates) > 50


def test_checksums_and_licences_are_those_of_cargo(bill: dict[str, Any], linked: Linked, release: Path) -> None:
    locked = {(each["name"], each["version"]): each for each in tomllib.loads((PROJECT / "Cargo.lock").read_text())["package"]}
    for component in bill["components"]:
        if component["name"] not in ("std", PACKAGE):
            (checksum,) = component["hashes"]
            assert checksum == {"alg": "SHA-256", "content": locked[component["name"], component["version"]]["checksum"]}
        ((licence),) = component["licenses"]
        assert re.fullmatch(r"[\w.+-]+( (OR|AND|WITH) [\w.+-]+)*", licence["expression"]), component
    file = hashlib.sha256((release / linked.file).read_bytes()).hexdigest()
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": file}]


def test_it_says_what_needs_what(bill: dict[str, Any], linked: Linked) -> None:
    needs = {each["ref"]: set(each.get("dependsOn", [])) for each in bill["dependencies"]}
    own = bill["metadata"]["component"]["bom-ref"]
    assert needs.keys() == {own, *(each["bom-ref"] for each in bill["components"])}
    reached, next_ = set(), {own}
    while next_:
        reached |= next_
        next_ = set().union(*(needs[each] for each in next_)) - reached
    assert reached == needs.keys(), "each is needed by something"
    # What the manifest asks for, and nothing that only the tests do.
    manifest = tomllib.loads((PROJECT / ("Cargo.toml" if linked is MODULE else "cli/Cargo.toml")).read_text())
    direct = {re.fullmatch(r"pkg:cargo/(.+)@.+", each)[1] for each in needs[own] if each.startswith("pkg:")}
    assert direct == manifest["dependencies"].keys()
    assert not {name for name, _ in crates_in(bill)} & (manifest.get("dev-dependencies", {}).keys() - {"aws-credential-types"})


def test_the_standard_library_is_named_with_the_compiler_s_version(bill: dict[str, Any], linked: Linked) -> None:
    (library,) = (each for each in bill["components"] if each["bom-ref"] == "rust-standard-library")
    # The program is a stand-in, which no compiler has made.
    assert linked is PROGRAM or re.fullmatch(r"1\.\d+\.\d+.*", library["version"])


def test_the_notices_have_a_text_for_every_crate(bill: dict[str, Any], release: Path) -> None:
    written = (release / "THIRD-PARTY-NOTICES.txt").read_text()
    head, by_hand, *texts = written.split(f"\n{RULE}\n\n")
    for name, version in crates_in(bill) - {(PACKAGE, own_version())}:
        assert f"\n  {name} {version}: " in head
        shown = [text for text in texts if re.search(rf"(^|[ \n]){name} {re.escape(version)}(,|\n|$)", text.split("\n\n")[0])]
        # A pointer to another file, as some have, is no text of a licence.
        assert any(len(text) > 500 for text in shown) or re.search(rf"^(.* and )?{name}( and .*)?, https:", by_hand, re.MULTILINE), name


def test_a_crate_without_a_text_is_an_error(tmp_path: Path) -> None:
    own, crates = linked_crates(PROJECT, PACKAGE, MODULE_TARGET)
    stranger = Crate("stranger", "1.0.0", "MIT", "", "", None, tmp_path, ())
    with pytest.raises(ValueError, match="stranger 1.0.0 has no licence text"):
        notices(own, [*crates, stranger])
    (tmp_path / "LICENSE-MIT").write_text("Do as you like.\n")
    assert "stranger 1.0.0\n\nDo as you like." in notices(own, [*crates, stranger])


def test_a_tree_of_cargo_is_read_by_its_depths() -> None:
    tree = "0a v1.0.0 (/x)\n1b v2.0.0\n2c v3.0.0+wasi\n1c v3.0.0+wasi (*)\n1d v4.0.0\n2b v2.0.0 (*)\n"
    a, b, c, d = ("a", "1.0.0"), ("b", "2.0.0"), ("c", "3.0.0+wasi"), ("d", "4.0.0")
    assert parse_tree(tree) == {a: {b, c, d}, b: {c}, c: set(), d: {b}}
    with pytest.raises(ValueError, match="cargo tree says"):
        parse_tree("error: no such thing\n")
