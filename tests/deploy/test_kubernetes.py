"""The manifests of deploy/kubernetes: an API server takes them, and they say the same thing where they say it twice."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from rig import PROJECT
from rig.envoy_config import mappings

from .manifests import CORE, KUBERNETES, VALIDATORS, core_faults, documents, faults, kind

MANIFESTS = sorted(KUBERNETES.glob("*/*.yaml"))
APPLIED = [path for path in MANIFESTS if path.name != "values.yaml"]


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("path", APPLIED, ids=name)
def test_an_api_server_takes_each_manifest(path: Path) -> None:
    for document in documents(path):
        assert document["metadata"]["name"]
        if kind(document) in CORE:
            assert core_faults(document) == [], kind(document)
        else:
            assert faults(document) == [], kind(document)


@pytest.mark.parametrize("path", APPLIED, ids=name)
def test_every_field_of_a_manifest_is_looked_at(path: Path) -> None:
    """A misspelled key anywhere in what a custom resource's schema describes is a fault."""
    for document in documents(path):
        spoilt = copy.deepcopy(document)
        if kind(document) in CORE:
            spoilt["metadata"]["misspelt"] = True
            assert core_faults(spoilt), kind(document)
            continue
        spoilt["spec" if "spec" in spoilt else "config"]["misspelt"] = True
        found = faults(spoilt)
        assert found or "config" in document, kind(document)


def test_every_kind_has_a_schema_and_no_schema_is_idle() -> None:
    used = {kind(document) for path in APPLIED for document in documents(path)} - CORE
    assert used == set(VALIDATORS)


def _hook(document: dict[str, Any]) -> str:
    (hook,) = (each["preStop"]["exec"]["command"][2] for each in mappings(document) if "preStop" in each)
    return hook


def test_the_hook_before_the_end_is_that_of_the_documentation() -> None:
    page = (PROJECT / "docs" / "guides" / "production.md").read_text()
    (documented,) = re.findall(r"```sh\n# preStop\n(.*?)```", page, re.DOTALL)
    deployment = next(each for each in documents(KUBERNETES / "istio" / "gateway.yaml") if each["kind"] == "Deployment")
    assert _hook(deployment).replace("15000", "9901") == documented
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 25 + 5
