"""An operator's Envoy configuration, changed only in what differs between a data centre and a test.

Ports, addresses, the path of the wasm and the AWS cluster are replaced; the rest runs as it is shipped.
"""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from . import LOOPBACK, PROJECT
from .discovery import LISTENER, WatchedFile
from .http import Address

EXAMPLES = {way: PROJECT / "envoy" / f"{way}.yaml" for way in ("http-filter", "access-logger")}

_CREDENTIALS = PROJECT / "docs" / "credentials.md"
_DOCUMENTED_CLUSTER = re.compile(r"```yaml\n(.+?)```", re.DOTALL)
_HTTP_MANAGER = "envoy.filters.network.http_connection_manager"


def mappings(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from mappings(child)


def cluster_at(name: str, address: Address) -> dict[str, Any]:
    endpoint = {"address": {"socket_address": {"address": address[0], "port_value": address[1]}}}
    endpoints = [{"lb_endpoints": [{"endpoint": endpoint}]}]
    return {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": endpoints}}


class EnvoyConfig:
    """One of the shipped examples, loaded and then changed in place."""

    def __init__(self, way: str, wasm: Path):
        self.document: dict[str, Any] = yaml.safe_load((PROJECT / "envoy" / f"{way}.yaml").read_text())
        self.plugin["vm_config"]["code"]["local"]["filename"] = str(wasm)
        for listener in self._resources["listeners"]:
            listener["address"]["socket_address"] = {"address": LOOPBACK, "port_value": 0}
        self.document["admin"]["address"]["socket_address"] = {"address": LOOPBACK, "port_value": 0}

    @property
    def _resources(self) -> dict[str, Any]:
        return self.document["static_resources"]

    @property
    def plugin(self) -> dict[str, Any]:
        """Envoy's settings of the wasm plugin, wherever in the document they stand."""
        (plugin,) = (mapping for mapping in mappings(self.document) if "vm_config" in mapping)
        return plugin

    @property
    def http_manager(self) -> dict[str, Any]:
        """The gateway's HTTP connection manager."""
        return self._http_manager_of(self._resources["listeners"][0])

    @staticmethod
    def _http_manager_of(listener: dict[str, Any]) -> dict[str, Any]:
        (manager,) = (
            mapping["typed_config"] for mapping in mappings(listener) if mapping.get("name") == _HTTP_MANAGER
        )
        return manager

    def _cluster(self, name: str) -> dict[str, Any]:
        (cluster,) = (cluster for cluster in self._resources["clusters"] if cluster["name"] == name)
        return cluster

    def _aim(self, cluster: dict[str, Any], address: Address) -> None:
        (endpoint,) = (mapping for mapping in mappings(cluster) if "socket_address" in mapping)
        endpoint["socket_address"] = {"address": address[0], "port_value": address[1]}

    def listen_at(self, port: int, admin: int) -> None:
        """Has the gateway and the admin interface at these ports of the loopback interface; 0 is a free one."""
        self._resources["listeners"][0]["address"]["socket_address"]["port_value"] = port
        self.document["admin"]["address"]["socket_address"]["port_value"] = admin

    def aim_service(self, address: Address) -> None:
        self._aim(self._cluster("mockbin"), address)

    def aim_service_with_http_2(self, address: Address) -> None:
        """The same, and the service speaks HTTP/2 without TLS."""
        self.aim_service(address)
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        self._cluster("mockbin")["typed_extension_protocol_options"] = {
            options: {"@type": f"type.googleapis.com/{options}", "explicit_http_config": {"http2_protocol_options": {}}}
        }

    def give_bodies_of_held(self) -> None:
        """Has Envoy give the filter the body of a message whose head it holds, as a capture needs it."""
        self.plugin["allow_on_headers_stop_iteration"] = True

    def aim_aws(self, address: Address, trusted_ca: Path | None = None) -> None:
        """Sends the filter's calls to `address`: in plain text, or with the shipped TLS settings and another CA."""
        cluster = self._cluster(self.settings["upstream"])
        self._aim(cluster, address)
        if trusted_ca is None:
            del cluster["transport_socket"]
        else:
            validation = cluster["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"]
            validation["trusted_ca"]["filename"] = str(trusted_ca)

    def aim_queue(self, address: Address, url: str) -> None:
        """Sends what the first capture stores to `address` in plain text, into the queue of that name."""
        (capture, *others) = self.settings["capture"]
        cluster = self._cluster(capture["upstream"])
        self._aim(cluster, address)
        del cluster["transport_socket"]
        self.configure(capture=[{**capture, "queue_url": url, "region": "us-east-1"}, *others])

    def let_envoy_sign(self, cluster: str, service: str) -> None:
        """Has Envoy sign what goes to `cluster`, as envoy/host-signs.yaml has it, with keys of its environment."""
        shipped = yaml.safe_load((PROJECT / "envoy" / "host-signs.yaml").read_text())["static_resources"]["clusters"]
        (options,) = (each["typed_extension_protocol_options"] for each in shipped if "typed_extension_protocol_options" in each)
        (signing,) = (mapping for mapping in mappings(options) if "service_name" in mapping)
        signing["service_name"] = service
        self._cluster(cluster)["typed_extension_protocol_options"] = options
        self.configure(credentials={"source": "host"})

    def verify_each(self, verify: dict[str, dict[str, Any]]) -> None:
        """Has a capture like the shipped one for each name, at /webhook/NAME and with these signatures."""
        (shipped,) = self.settings["capture"]
        captures = [
            {**shipped, "matcher": f"^/webhook/{name}$", "name": name, "verify": signature} for name, signature in verify.items()
        ]
        self.configure(capture=captures)

    def configure_capture(self, **changes: Any) -> None:
        """Replaces keys of the first capture."""
        (capture, *others) = self.settings["capture"]
        self.configure(capture=[{**capture, **changes}, *others])

    def resolve_aws_at(self, server: Address) -> None:
        """Has the AWS cluster's name looked up at `server`, and again soon where that fails."""
        cares = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
        resolver = {"socket_address": {"address": server[0], "port_value": server[1], "protocol": "UDP"}}
        self._cluster(self.settings["upstream"]).update(
            typed_dns_resolver_config={
                "name": "envoy.network.dns_resolver.cares",
                "typed_config": {"@type": cares, "resolvers": [resolver]},
            },
            dns_failure_refresh_rate={"base_interval": "0.1s", "max_interval": "0.2s"},
        )

    def add_cluster(self, name: str, address: Address) -> None:
        """The cluster that docs/credentials.md has for a source of credentials, in plain text, with this name and address."""
        (cluster,) = yaml.safe_load(_DOCUMENTED_CLUSTER.search(_CREDENTIALS.read_text())[1])
        assignment = cluster["load_assignment"]
        cluster["name"] = assignment["cluster_name"] = name
        ((endpoint,),) = (each["lb_endpoints"] for each in assignment["endpoints"])
        endpoint["endpoint"]["address"]["socket_address"] = {"address": address[0], "port_value": address[1]}
        self._resources["clusters"].append(cluster)

    def let_through(self, *names: str) -> None:
        """Shows the filter these variables of Envoy's environment."""
        self.plugin["vm_config"]["environment_variables"]["host_env_keys"] += names

    @property
    def settings(self) -> dict[str, Any]:
        """Retrohook's own configuration."""
        return json.loads(self.plugin["configuration"]["value"])

    def configure(self, **changes: Any) -> None:
        """Replaces top-level keys of Retrohook's configuration."""
        self.configure_text(json.dumps({**self.settings, **changes}))

    def configure_text(self, text: str) -> None:
        """Replaces Retrohook's configuration by any text at all."""
        self.plugin["configuration"]["value"] = text

    def add_listener_without_retrohook(self, name: str, port: int = 0) -> None:
        """The same gateway once more, for comparison."""
        bare = copy.deepcopy(self._resources["listeners"][0])
        bare["name"] = name
        bare["address"]["socket_address"]["port_value"] = port
        manager = self._http_manager_of(bare)
        manager.pop("access_log", None)
        manager["http_filters"] = [each for each in manager["http_filters"] if each["name"] != "retrohook"]
        self._resources["listeners"].append(bare)

    def add_listener_that_proxies(self, name: str, cluster: str) -> None:
        """Everything goes straight to `cluster`, for comparison."""
        self.add_listener_without_retrohook(name)
        manager = self._http_manager_of(self._resources["listeners"][-1])
        (host,) = manager["route_config"]["virtual_hosts"]
        host["routes"] = [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}]

    def unbound_streams(self) -> None:
        """Lets one connection have as many requests as Envoy's own bound, which is far above what a test sends."""
        self.http_manager.pop("http2_protocol_options", None)

    def add_application(self, address: Address) -> None:
        """An application behind the gateway, which gets what no other route takes."""
        self._resources["clusters"].append(cluster_at("application", address))
        (host,) = self.http_manager["route_config"]["virtual_hosts"]
        host["routes"].append({"match": {"prefix": "/"}, "route": {"cluster": "application"}})

    def put_before_retrohook(self, *filters: dict[str, Any]) -> None:
        """Filters that see a request before it does."""
        all_filters = self.http_manager["http_filters"]
        (position,) = (at for at, each in enumerate(all_filters) if each["name"] == "retrohook")
        all_filters[position:position] = filters

    def take_tls(self, transport_socket: dict[str, Any]) -> None:
        """Has the gateway speak TLS so."""
        (chain,) = self._resources["listeners"][0]["filter_chains"]
        chain["transport_socket"] = transport_socket

    def add_cluster_at(self, name: str, address: Address) -> None:
        """A service in plain text."""
        self._resources["clusters"].append(cluster_at(name, address))

    def add_route(self, prefix: str, cluster: str = "mockbin", **settings: Any) -> None:
        """What is under `prefix` goes to `cluster` without it, under these settings of the route."""
        (host,) = self.http_manager["route_config"]["virtual_hosts"]
        rewrite = {"pattern": {"regex": f"^{prefix}/?"}, "substitution": "/"}
        route = {"cluster": cluster, "regex_rewrite": rewrite, **settings}
        host["routes"].insert(0, {"name": prefix[1:], "match": {"path_separated_prefix": prefix}, "route": route})

    def add_http2_cluster(self, name: str, address: Address) -> None:
        """A service that speaks HTTP/2, as servers of gRPC do."""
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        protocol = {"@type": f"type.googleapis.com/{options}", "explicit_http_config": {"http2_protocol_options": {}}}
        cluster = {**cluster_at(name, address), "typed_extension_protocol_options": {options: protocol}}
        self._resources["clusters"].append(cluster)

    def add_access_log(self, text: str) -> None:
        """Envoy's own access log, on the same stream as the lines of the filter; `text` is the format of a line."""
        stream = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
        settings = {"@type": stream, "log_format": {"text_format_source": {"inline_string": text}}}
        self.http_manager.setdefault("access_log", []).append({"name": "stdout", "typed_config": settings})

    def add_the_other_way(self, vm_id: str) -> None:
        """The same filter once more, as an access logger, in a VM of this id."""
        plugin = copy.deepcopy(self.plugin)
        plugin["vm_config"]["vm_id"] = vm_id
        kind = "type.googleapis.com/envoy.extensions.access_loggers.wasm.v3.WasmAccessLog"
        logger = {"name": "retrohook", "typed_config": {"@type": kind, "config": plugin}}
        self.http_manager.setdefault("access_log", []).append(logger)

    def add_filter_again(self) -> None:
        """The same HTTP filter once more, behind the first one."""
        filters = self.http_manager["http_filters"]
        (position,) = (at for at, each in enumerate(filters) if each["name"] == "retrohook")
        filters.insert(position, {**copy.deepcopy(filters[position]), "name": "retrohook-again"})

    def serve_listeners(self, path: Path) -> None:
        """Takes the listeners out of the document and into a file of their own, which Envoy watches (LDS)."""
        self._listeners = self._resources.pop("listeners")
        self._watched = WatchedFile(path, LISTENER)
        self.document["node"] = {"id": "gateway", "cluster": "gateway"}
        self.document["dynamic_resources"] = {"lds_config": self._watched.source}
        self.update_listeners()

    def update_listeners(self, **changes: Any) -> None:
        """Replaces top-level keys of Retrohook's configuration in the file that a running Envoy watches."""
        for plugin in (mapping for mapping in mappings(self._listeners) if "vm_config" in mapping):
            settings = {**json.loads(plugin["configuration"]["value"]), **changes}
            plugin["configuration"]["value"] = json.dumps(settings)
        self._watched.write(self._listeners)

    def write(self, path: Path) -> Path:
        path.write_text(yaml.safe_dump(self.document, sort_keys=False))
        return path
