"""The crates whose code is in the module or the program: normal dependencies on its target, as cargo resolves them.

What only the compiler runs (build scripts, macros) is not among them. Nothing here is guessed: a crate that cargo names and
Cargo.lock does not is an error.
"""

import json
import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = "retrohook"
PROGRAM = "retrohook-cli"

MODULE_TARGET = "wasm32-wasip1"

_LINE = re.compile(r"(?P<depth>\d+)(?P<name>\S+) v(?P<version>\S+)")

Id = tuple[str, str]


@dataclass(frozen=True)
class Crate:
    """A package as it is linked."""

    name: str
    version: str
    licence: str
    description: str
    repository: str
    checksum: str | None
    """SHA-256 of the package file, as Cargo.lock has it; none for the project's own."""
    folder: Path
    dependencies: tuple[Id, ...]

    @property
    def id(self) -> Id:
        return self.name, self.version


def linked_crates(project: Path, package: str, target: str) -> tuple[Crate, list[Crate]]:
    """A crate of the project's, and those that it is linked with, by name."""
    edges = parse_tree(_cargo(project, "tree", "--package", package, "--edges", "normal,no-proc-macro", "--target", target,
                              "--prefix", "depth", "--format", "{p}"))  # fmt: skip
    metadata = json.loads(_cargo(project, "metadata", "--format-version", "1", "--filter-platform", target))
    packages = {(each["name"], each["version"]): each for each in metadata["packages"]}
    locked = tomllib.loads((project / "Cargo.lock").read_text())["package"]
    checksums = {(each["name"], each["version"]): each.get("checksum") for each in locked}
    crates = [_crate(packages[id_], checksums[id_], edges[id_]) for id_ in sorted(edges)]
    (own,) = (crate for crate in crates if crate.name == package)
    return own, [crate for crate in crates if crate is not own]


def parse_tree(tree: str) -> dict[Id, set[Id]]:
    """What each crate depends on, of the output of `cargo tree --prefix depth`."""
    edges: dict[Id, set[Id]] = {}
    path: list[Id] = []
    for line in filter(None, tree.splitlines()):
        match = _LINE.match(line)
        if match is None:
            raise ValueError(f"cargo tree says {line!r}")
        crate = match["name"], match["version"]
        del path[int(match["depth"]) :]
        if path:
            edges[path[-1]].add(crate)
        edges.setdefault(crate, set())
        path.append(crate)
    return edges


def _crate(package: dict[str, Any], checksum: str | None, dependencies: set[Id]) -> Crate:
    if not package["license"]:
        raise ValueError(f"{package['name']} names no licence")
    return Crate(
        name=package["name"],
        version=package["version"],
        # An older way to write it, which no reader of SPDX knows.
        licence=re.sub(r" */ *", " OR ", package["license"]),
        description=" ".join((package["description"] or "").split()),
        repository=package["repository"] or "",
        checksum=checksum,
        folder=Path(package["manifest_path"]).parent,
        dependencies=tuple(sorted(dependencies)),
    )


def _cargo(project: Path, command: str, *arguments: str) -> str:
    return subprocess.run(
        ["cargo", "--quiet", command, "--locked", *arguments], cwd=project, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
