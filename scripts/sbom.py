"""A software bill of materials in CycloneDX 1.6: what is in a file, by which licence, and what of it needs what.

Says nothing of the time or the machine, so that one file has one bill.
"""

import hashlib
from typing import Any

from linked_crates import Crate, Id


def bill_of_materials(own: Crate, crates: list[Crate], file: bytes, rust: str | None) -> dict[str, Any]:
    """`rust` is the version of the compiler, whose standard library is in the file."""
    standard_library = _standard_library(rust)
    reference = {crate.id: _purl(crate.id) for crate in [own, *crates]}
    of_all = [standard_library["bom-ref"]]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**_component(own, "application"), "hashes": [_sha256(hashlib.sha256(file).hexdigest())]}},
        "components": [*(_component(crate, "library") for crate in crates), standard_library],
        "dependencies": [
            *(
                {"ref": reference[crate.id], "dependsOn": sorted([*(reference[id_] for id_ in crate.dependencies), *of_all])}
                for crate in [own, *crates]
            ),
            {"ref": standard_library["bom-ref"]},
        ],
    }


def _purl(id_: Id) -> str:
    name, version = id_
    return f"pkg:cargo/{name}@{version}"


def _sha256(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}


def _component(crate: Crate, kind: str) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": kind,
        "bom-ref": _purl(crate.id),
        "name": crate.name,
        "version": crate.version,
        "description": crate.description,
        "scope": "required",
        "licenses": [{"expression": crate.licence}],
        "purl": _purl(crate.id),
    }
    if crate.checksum is not None:
        component["hashes"] = [_sha256(crate.checksum)]
    if crate.repository:
        component["externalReferences"] = [{"type": "vcs", "url": crate.repository}]
    return component


def _standard_library(rust: str | None) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": "rust-standard-library",
        "name": "std",
        "description": "The standard library of Rust, with wasi-libc",
        "scope": "required",
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
    }
    if rust is not None:
        component["version"] = rust
    return component
