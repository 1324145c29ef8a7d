"""The configuration of Envoy that Istio generates for a gateway from manifests, as far as they decide it.

Written down from what Istio 1.30 does with each kind. Nothing of the manifests is said here once more.
"""

import copy
import json
from pathlib import Path
from typing import Any

from rig.envoy_config import cluster_at

from .generated import ROUTER, World, discovered, listener, load_code_from, merged, write
from .manifests import KUBERNETES, documents

LISTENER = "0.0.0.0_8080"

_WASM = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"
_RBAC = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"


class Istio:
    """The manifests of some files of deploy/kubernetes/istio; a test may change them before they are generated from."""

    def __init__(self, *files: str):
        self.documents = [each for name in files for each in documents(KUBERNETES / "istio" / name)]

    def specs(self, kind: str) -> list[dict[str, Any]]:
        return [each["spec"] for each in self.documents if each["kind"] == kind]

    def envoy(self, world: World) -> Path:
        """The file to start Envoy with."""
        extensions = [self._plugin(each) for each in self.documents if each["kind"] == "WasmPlugin"]
        filters = [{"name": each["name"], "config_discovery": {"config_source": {"ads": {}}, "type_urls": [_WASM, _RBAC]}} for each in extensions]
        filters.append(ROUTER)
        manager: dict[str, Any] = {
            "stat_prefix": "outbound_0.0.0.0_8080",
            "normalize_path": True,
            "use_remote_address": True,
            "route_config": {"virtual_hosts": [{"name": "*:80", "domains": ["*"], "routes": self._routes()}]},
        }
        clusters = self._clusters(world)
        for patch in (each for spec in self.specs("EnvoyFilter") for each in spec["configPatches"]):
            value, operation = copy.deepcopy(patch["patch"]["value"]), patch["patch"]["operation"]
            match patch["applyTo"], operation:
                case "NETWORK_FILTER", "MERGE":
                    manager = merged(manager, {key: each for key, each in value["typed_config"].items() if key != "@type"})
                case "HTTP_FILTER", "INSERT_BEFORE":
                    before = patch["match"]["listener"]["filterChain"]["filter"]["subFilter"]["name"]
                    (at,) = (position for position, each in enumerate(filters) if each["name"] == before)
                    filters.insert(at, value)
                case "EXTENSION_CONFIG", "ADD":
                    extensions.append(value)
                case "CLUSTER", "MERGE":
                    (at,) = (i for i, each in enumerate(clusters) if each["name"] == patch["match"]["cluster"]["name"])
                    clusters[at] = merged(clusters[at], value)
                case unknown:
                    raise NotImplementedError(unknown)
        for extension in extensions:
            load_code_from(extension["typed_config"]["config"], world.wasm)
            (source,) = (each["config_discovery"] for each in filters if each["name"] == extension["name"])
            source["config_source"] = discovered(world, extension)
        return write(world, [listener(LISTENER, {**manager, "http_filters": filters})], clusters)

    @staticmethod
    def _plugin(document: dict[str, Any]) -> dict[str, Any]:
        """The extension that a WasmPlugin becomes: its configuration is a text of JSON, and its VM has no id."""
        spec, metadata = document["spec"], document["metadata"]
        assert spec["url"].startswith("oci://")
        names = [each["name"] for each in spec.get("vmConfig", {}).get("env", []) if each["valueFrom"] == "HOST"]
        vm: dict[str, Any] = {"runtime": "envoy.wasm.runtime.v8"}
        if names:
            vm["environment_variables"] = {"host_env_keys": names}
        name = f"{metadata['namespace']}.{metadata['name']}"
        # protobuf's Struct has no whole numbers, and Go's JSON writes them as such.
        text = json.dumps(spec["pluginConfig"], sort_keys=True, separators=(",", ":"))
        value = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text}
        config = {"name": name, "configuration": value, "vm_config": vm, "failure_policy": spec["failStrategy"]}
        return {"name": f"extensions.istio.io/wasmplugin/{name}", "typed_config": {"@type": _WASM, "config": config}}

    def _routes(self) -> list[dict[str, Any]]:
        rules = [rule for spec in self.specs("VirtualService") for rule in spec["http"]]
        return [_route(rule, match) for rule in rules for match in rule["match"]]

    def _clusters(self, world: World) -> list[dict[str, Any]]:
        clusters = []
        for spec in self.specs("VirtualService"):
            for destination in (each["destination"] for rule in spec["http"] for each in rule.get("route", [])):
                clusters.append(cluster_at(_outbound(destination["port"]["number"], destination["host"]), world.service))
        rules = {spec["host"]: spec["trafficPolicy"]["tls"] for spec in self.specs("DestinationRule")}
        for spec in self.specs("ServiceEntry"):
            (host,), (port,) = spec["hosts"], spec["ports"]
            cluster = cluster_at(_outbound(port["number"], host), world.aws)
            clusters.append({**cluster, "transport_socket": _tls(rules[host])})
        return clusters


def _outbound(port: int, host: str) -> str:
    return f"outbound|{port}||{host}"


def _tls(tls: dict[str, Any]) -> dict[str, Any]:
    assert tls["mode"] == "SIMPLE"
    names = [{"san_type": "DNS", "matcher": {"exact": each}} for each in tls["subjectAltNames"]]
    # Without caCertificates it is the system's.
    validation = {"trusted_ca": {}, "match_typed_subject_alt_names": names}
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    context = {"@type": kind, "sni": tls["sni"], "common_tls_context": {"validation_context": validation}}
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _route(rule: dict[str, Any], match: dict[str, Any]) -> dict[str, Any]:
    matcher: dict[str, Any] = {"prefix": match["uri"]["prefix"], "case_sensitive": not match.get("ignoreUriCase", False)}
    if "method" in match:
        matcher["headers"] = [{"name": ":method", "string_match": match["method"]}]
    if "directResponse" in rule:
        return {"match": matcher, "direct_response": rule["directResponse"]}
    (destination,) = (each["destination"] for each in rule["route"])
    route = {"cluster": _outbound(destination["port"]["number"], destination["host"])}
    if "rewrite" in rule:
        route["prefix_rewrite"] = rule["rewrite"]["uri"]
    return {"match": matcher, "route": route}
