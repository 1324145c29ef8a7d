"""Manifests of Kubernetes as an API server reads them: against the schemas of their kinds, where no unknown field is let in."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator
from rig import PROJECT

KUBERNETES = PROJECT / "deploy" / "kubernetes"

_CRDS = PROJECT / "tests" / "data" / "crds"
# Kubernetes' own kinds, which have no custom resource definition: what stands in `deploy/`, and where.
CORE = {
    "v1 Namespace", "v1 ServiceAccount", "v1 Service", "v1 Secret", "v1 ConfigMap", "apps/v1 Deployment",
    "networking.k8s.io/v1 Ingress",
}  # fmt: skip


def documents(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def kind(document: dict[str, Any]) -> str:
    return f"{document['apiVersion']} {document['kind']}"


def _strict(schema: Any) -> Any:
    """The same schema, and what it does not name is refused, as `kubectl apply` has it refused."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {
        name: {key: _strict(each) for key, each in value.items()} if name == "properties" else _strict(value)
        for name, value in schema.items()
    }
    if "properties" in schema and "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        changed["additionalProperties"] = False
    return changed


def _schemas() -> Iterator[tuple[str, Draft202012Validator]]:
    for path in _CRDS.glob("*.json"):
        for name, schema in json.loads(path.read_text()).items():
            properties = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, **schema["properties"]}
            # Metadata has a schema of Kubernetes' own.
            whole = _strict({**schema, "properties": properties})
            whole["properties"]["metadata"] = {"type": "object"}
            yield name, Draft202012Validator(whole)


VALIDATORS = dict(_schemas())


def faults(document: dict[str, Any]) -> list[str]:
    """What an API server would say."""
    return [f"{error.json_path}: {error.message}" for error in VALIDATORS[kind(document)].iter_errors(document)]


# The oldest that a provider still sells, and the newest that is known here.
_RELEASES = ("1.31", "1.37")


def core_faults(document: dict[str, Any]) -> list[str]:
    """The same for what is of Kubernetes itself, where an unknown key is a fault, too."""
    found = []
    for release in _RELEASES:
        try:
            kubernetes_validate.validate(document, release, strict=True)
        except kubernetes_validate.ValidationError as fault:
            found.append(f"{release}: {fault}")
    return found
