"""What control planes have in common: an Envoy whose listener they generate, with what stands outside of a cluster replaced.

Replaced are addresses, the file of the wasm and the CA; the files that Envoy watches stand for the discovery over gRPC.
"""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rig import LOOPBACK
from rig.envoy_config import mappings
from rig.http import Address


HTTP_MANAGER = "envoy.filters.network.http_connection_manager"
_HTTP_MANAGER_TYPE = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
}


@dataclass(frozen=True)
class World:
    """What is around the gateway."""

    directory: Path
    wasm: Path
    service: Address
    aws: Address
    authority: Path
    """The CA of `aws`, which proves to be AWS."""


def merged(base: Any, patch: Any) -> Any:
    """A patch of messages of protobuf: messages are merged, lists appended, anything else replaced."""
    if isinstance(base, dict) and isinstance(patch, dict):
        return {**base, **{name: merged(base[name], value) if name in base else value for name, value in patch.items()}}
    if isinstance(base, list) and isinstance(patch, list):
        return base + patch
    return patch


def load_code_from(plugin: dict[str, Any], wasm: Path) -> None:
    """Puts a file in the place of the image, as Istio's agent does."""
    plugin["vm_config"]["code"] = {"local": {"filename": str(wasm)}}


def listener(name: str, manager: dict[str, Any], **more: Any) -> dict[str, Any]:
    http = {"name": HTTP_MANAGER, "typed_config": {"@type": _HTTP_MANAGER_TYPE, **manager}}
    return {
        "name": name,
        "address": {"socket_address": {"address": LOOPBACK, "port_value": 0}},
        "filter_chains": [{"filters": [http]}],
        **more,
    }


def discovered(world: World, extension: dict[str, Any]) -> dict[str, Any]:
    """The source of an extension's configuration: a file in the place of the control plane."""
    path = world.directory / f"{extension['name'].replace('/', '-')}.json"
    kind = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
    path.write_text(json.dumps({"version_info": "1", "resources": [{"@type": kind, **extension}]}))
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def write(world: World, listeners: list[dict[str, Any]], clusters: list[dict[str, Any]], **bootstrap: Any) -> Path:
    document = copy.deepcopy(
        {
            "admin": {"address": {"socket_address": {"address": LOOPBACK, "port_value": 0}}},
            "node": {"id": "gateway", "cluster": "gateway"},
            **bootstrap,
            "static_resources": {"listeners": listeners, "clusters": clusters},
        }
    )
    for trusted in (each for each in mappings(document) if "trusted_ca" in each):
        trusted["trusted_ca"] = {"filename": str(world.authority)}
    path = world.directory / "envoy.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def discover_clusters(config: Path, directory: Path, name_server: Address) -> None:
    """Has Envoy find more clusters in a file, and look up the names of all at `name_server`."""
    write_clusters(directory, [])
    kind = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
    resolver = {"socket_address": {"address": name_server[0], "port_value": name_server[1], "protocol": "UDP"}}
    source = {"path": str(directory / "clusters.json"), "watched_directory": {"path": str(directory)}}
    document = yaml.safe_load(config.read_text())
    document["dynamic_resources"] = {"cds_config": {"resource_api_version": "V3", "path_config_source": source}}
    document["typed_dns_resolver_config"] = {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {"@type": kind, "resolvers": [resolver]},
    }
    config.write_text(yaml.safe_dump(document, sort_keys=False))


def write_clusters(directory: Path, clusters: list[dict[str, Any]]) -> None:
    """The clusters that an Envoy finds which watches that folder."""
    kind = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    resources = [{"@type": kind, **cluster} for cluster in clusters]
    aside = directory / "clusters.new"
    aside.write_text(json.dumps({"version_info": str(len(clusters)), "resources": resources}))
    # Envoy looks when a file is moved into the folder.
    aside.rename(directory / "clusters.json")
