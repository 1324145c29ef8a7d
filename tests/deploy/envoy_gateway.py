"""The configuration of Envoy that Envoy Gateway generates from manifests, as far as they decide it.

Written down from what Envoy Gateway 1.9 does with each kind, with XDSNameSchemeV2. Nothing of the manifests is said here once more.
"""

import copy
import json
from pathlib import Path
from typing import Any

import jsonpatch
from jsonpath_ng.ext import parse

from rig.envoy_config import cluster_at, mappings

from .generated import ROUTER, World, listener, load_code_from, write
from .manifests import KUBERNETES, documents

LISTENER = "tcp-80"

_LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
_FILTERS = "type.googleapis.com/envoy.extensions.filters.http"
_ENABLED = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}


class EnvoyGateway:
    """The manifests of some files of deploy/kubernetes/envoy-gateway; a test may leave some out."""

    def __init__(self, *files: str, without: tuple[str, ...] = ()):
        found = [each for name in files for each in documents(KUBERNETES / "envoy-gateway" / name)]
        self.documents = [each for each in found if each["kind"] not in without]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.documents if each["kind"] == kind]

    def envoy(self, world: World) -> Path:
        """The file to start Envoy with."""
        generated = self._listener()
        for operation in (each for policy in self.of("EnvoyPatchPolicy") for each in policy["spec"]["jsonPatches"]):
            assert (operation["type"], operation["name"]) == (_LISTENER, LISTENER)
            generated = _patched(generated, operation["operation"])
        for plugin in (each for each in mappings(generated) if "vm_config" in each):
            load_code_from(plugin, world.wasm)
        (proxy,) = self.of("EnvoyProxy")
        bootstrap: dict[str, Any] = {
            "stats_config": {"use_all_default_tags": True, "stats_tags": [{"tag_name": "from_zone", "regex": r"\.zone(\.(([^\.]+)\.))"}]},
            "static_resources": {"clusters": []},
        }
        for operation in proxy["spec"]["bootstrap"]["jsonPatches"]:
            bootstrap = _patched(bootstrap, operation)
        clusters = bootstrap.pop("static_resources")["clusters"]
        for cluster in clusters:
            # Its addresses are those of the name, which is AWS here.
            cluster.update({key: value for key, value in cluster_at(cluster["name"], world.aws).items() if key != "name"})
        clusters += [cluster_at(_cluster(route, i), world.service) for route in self.of("HTTPRoute") for i in _forwarding(route)]
        return write(world, [generated], clusters, **bootstrap)

    def _listener(self) -> dict[str, Any]:
        (traffic,) = (each["spec"] for each in self.of("ClientTrafficPolicy"))
        kib = 1024
        window = int(traffic["http2"]["initialStreamWindowSize"].removesuffix("Ki")) * kib
        manager = {
            "stat_prefix": "http-80",
            "http_filters": [*self._filters("lua"), *self._filters("wasm"), {**ROUTER, "typed_config": {**ROUTER["typed_config"], "suppress_envoy_headers": True}}],
            "http2_protocol_options": {"initial_stream_window_size": window, "max_concurrent_streams": traffic["http2"]["maxConcurrentStreams"]},
            "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
            "normalize_path": True,
            "merge_slashes": not traffic["path"].get("disableMergeSlashes", False),
            "path_with_escaped_slashes_action": {"UnescapeAndForward": "UNESCAPE_AND_FORWARD"}[traffic["path"]["escapedSlashesAction"]],
            "request_timeout": traffic["timeout"]["http"]["requestReceivedTimeout"],
            "use_remote_address": True,
            "route_config": {"name": "http-80", "virtual_hosts": [{"name": "*", "domains": ["*"], "routes": self._routes()}]},
        }  # fmt: skip
        buffer = int(traffic["connection"]["bufferLimit"].removesuffix("Ki")) * kib
        made = listener(LISTENER, manager, per_connection_buffer_limit_bytes=buffer)
        # Plain HTTP has the default chain alone.
        return {**{key: value for key, value in made.items() if key != "filter_chains"}, "default_filter_chain": made["filter_chains"][0]}

    def _filters(self, kind: str) -> list[dict[str, Any]]:
        """Those of all policies, off until a route turns them on."""
        found = []
        for policy in self.of("EnvoyExtensionPolicy"):
            for i, each in enumerate(policy["spec"].get(kind, [])):
                config = {"wasm": _wasm, "lua": _lua}[kind](_id(policy, kind, i), each)
                found.append({"name": _filter_name(policy, kind, i), "disabled": True, "typed_config": config})
        return found

    def _routes(self) -> list[dict[str, Any]]:
        # The more special match first: with a method before without, a regular expression before a prefix.
        found = [
            (match, self._route(route, i, rule, match))
            for route in self.of("HTTPRoute")
            for i, rule in enumerate(route["spec"]["rules"])
            for match in rule["matches"]
        ]
        found.sort(key=lambda each: (each[0]["path"]["type"] != "RegularExpression", "method" not in each[0]))
        return [route for _, route in found]

    def _route(self, route: dict[str, Any], i: int, rule: dict[str, Any], match: dict[str, Any]) -> dict[str, Any]:
        path = match["path"]
        if path["type"] == "PathPrefix":
            matcher: dict[str, Any] = {"path_separated_prefix": path["value"]}
        else:
            matcher = {"safe_regex": {"regex": path["value"]}}
        if "method" in match:
            matcher["headers"] = [{"name": ":method", "string_match": {"exact": match["method"]}}]
        made: dict[str, Any] = {"match": matcher, "typed_per_filter_config": dict.fromkeys(self._names_on(route), _ENABLED)}
        for each in rule.get("filters", []):
            if each["type"] == "ExtensionRef":
                (named,) = (found for found in self.of("HTTPRouteFilter") if found["metadata"]["name"] == each["extensionRef"]["name"])
                return {**made, "direct_response": {"status": named["spec"]["directResponse"]["statusCode"]}}
            assert each["urlRewrite"]["path"]["replacePrefixMatch"] == "/"
            rewrite = {"pattern": {"regex": f"^{path['value']}/*"}, "substitution": "/"}
            made["route"] = {"cluster": _cluster(route, i), "regex_rewrite": rewrite}
        return made

    def _names_on(self, route: dict[str, Any]) -> list[str]:
        on = []
        for policy in self.of("EnvoyExtensionPolicy"):
            if any((each["kind"], each["name"]) == ("HTTPRoute", route["metadata"]["name"]) for each in policy["spec"]["targetRefs"]):
                on += [_filter_name(policy, kind, i) for kind in ("lua", "wasm") for i in range(len(policy["spec"].get(kind, [])))]
        return on


def _id(policy: dict[str, Any], kind: str, i: int) -> str:
    return f"envoyextensionpolicy/{policy['metadata']['namespace']}/{policy['metadata']['name']}/{kind}/{i}"


def _filter_name(policy: dict[str, Any], kind: str, i: int) -> str:
    return f"envoy.filters.http.{kind}/{_id(policy, kind, i)}"


def _wasm(id_: str, wasm: dict[str, Any]) -> dict[str, Any]:
    assert wasm["code"]["type"] == "Image"
    vm: dict[str, Any] = {"vm_id": id_, "runtime": "envoy.wasm.runtime.v8"}
    if "env" in wasm:
        vm["environment_variables"] = {"host_env_keys": wasm["env"]["hostKeys"]}
    value = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": json.dumps(wasm["config"])}
    return {"@type": f"{_FILTERS}.wasm.v3.Wasm", "config": {"name": wasm["name"], "vm_config": vm, "configuration": value}}


def _lua(_: str, lua: dict[str, Any]) -> dict[str, Any]:
    assert lua["type"] == "Inline"
    return {"@type": f"{_FILTERS}.lua.v3.Lua", "default_source_code": {"inline_string": lua["inline"]}}


def _cluster(route: dict[str, Any], i: int) -> str:
    return f"httproute/{route['metadata']['namespace']}/{route['metadata']['name']}/rule/{i}"


def _forwarding(route: dict[str, Any]) -> list[int]:
    return [i for i, rule in enumerate(route["spec"]["rules"]) if "backendRefs" in rule]


def _patched(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    """One operation of JSON Patch; with a JSONPath it is one at each place that this finds, and it has to find one."""
    pointers = [""]
    if "jsonPath" in operation:
        pointers = [_pointer(found) for found in parse(operation["jsonPath"]).find(document)]
        assert pointers, operation["jsonPath"]
    for pointer in pointers:
        patch = {"op": operation["op"], "path": pointer + operation["path"], "value": copy.deepcopy(operation["value"])}
        document = jsonpatch.apply_patch(document, [patch])
    return document


def _pointer(found: Any) -> str:
    if found.context is None:
        return ""
    part = found.path.fields[0] if hasattr(found.path, "fields") else str(found.path.indices[0])
    return f"{_pointer(found.context)}/{part.replace('~', '~0').replace('/', '~1')}"
