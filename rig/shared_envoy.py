"""One Envoy for the gateways of many tests, one after the other.

An Envoy compiles the module when it starts, which takes two seconds of a core: ten times what the rest of most tests takes.
This one compiles it once. A gateway comes as the listeners and clusters of its configuration, with VMs, metrics and shared
data that no other one has had, and is gone before the next one comes; if it does not go, the process goes with it.
"""

import copy
import itertools
import json
import re
from pathlib import Path
from typing import Any

import yaml

from .discovery import CLUSTER, LISTENER, WatchedFile
from .envoy import Envoy
from .envoy_config import EnvoyConfig, mappings
from .waiting import wait_for

# The configuration of a worker that has nothing to do, in the filter's own words.
_IDLE = "retrohook: the worker ends"

# A gateway is gone at once, on a busy machine within this time. One that is not takes the process
# along.
_SECONDS_TO_LEAVE = 2.0

_SHARED = {"admin", "static_resources", "stats_config"}


class SharedEnvoy:
    """Starts its process when the first gateway comes."""

    def __init__(self, folder: Path, wasm: Path):
        self._folder, self._wasm = folder, wasm
        self._numbers = itertools.count()
        self._process: _Process | None = None
        self._tenant: Tenant | None = None

    def has_room_for(self, config: EnvoyConfig) -> bool:
        """Returns true if no other gateway is there, and this one asks for nothing that is the process's own."""
        document = config.document
        modules = {each["vm_config"]["code"]["local"]["filename"] for each in mappings(document) if "vm_config" in each}
        return (
            self._tenant is None
            and modules == {str(self._wasm)}
            and document.keys() == _SHARED
            and document["static_resources"].keys() == {"listeners", "clusters"}
            and document["stats_config"] == EnvoyConfig("http-filter", self._wasm).document["stats_config"]
            # Envoy itself signs with keys of its own environment.
            and "aws_request_signing" not in json.dumps(document)
        )

    def take_in(self, config: EnvoyConfig, path: Path, environment: dict[str, str]) -> "Tenant":
        """A gateway with this configuration, which is at `path`, too. Ready when returned."""
        resources = copy.deepcopy(config.document["static_resources"])
        number = next(self._numbers)
        for vm in (each["vm_config"] for each in mappings(resources) if "vm_config" in each):
            # Shared data outlives its VM, and the next VM of that id would find it.
            vm["vm_id"] += f"-{number}"
            shown = [name for name in vm["environment_variables"]["host_env_keys"] if name in environment]
            vm["environment_variables"] = {"key_values": {name: environment[name] for name in shown}}
        if self._process is None:
            folder = self._folder / str(number)
            folder.mkdir()
            self._process = _Process(folder, self._wasm)
        tenant = Tenant(self, self._process, path)
        try:
            self._process.serve(resources)
        except BaseException:
            self.stop()
            raise
        self._tenant = tenant
        return tenant

    def let_go(self, tenant: "Tenant") -> None:
        """Ends a gateway."""
        if tenant is self._tenant and self._process:
            self._tenant = None
            if tenant.has_changed_process or tenant.has_trapped or not self._process.clear():
                self.stop()

    def stop(self) -> None:
        """Ends the process; the next gateway has another one."""
        self._tenant = None
        if self._process:
            self._process.stop()
            self._process = None


class _Process(Envoy):
    """Has a VM that does nothing, for Envoy keeps what it has compiled as long as a VM runs it."""

    def __init__(self, folder: Path, wasm: Path):
        self._clusters = WatchedFile(folder / "clusters.json", CLUSTER)
        self._listeners = WatchedFile(folder / "listeners.json", LISTENER)
        self._clusters.write([])
        self._listeners.write([])
        config = EnvoyConfig("http-filter", wasm)
        config.configure_text(_IDLE)
        config.plugin["vm_config"]["vm_id"] = "idle"
        config.http_manager["route_config"]["virtual_hosts"] = []
        (listener,) = config.document["static_resources"]["listeners"]
        listener["name"] = "idle"
        config.document["static_resources"]["clusters"] = []
        config.document["node"] = {"id": "gateway", "cluster": "gateway"}
        config.document["dynamic_resources"] = {"cds_config": self._clusters.source, "lds_config": self._listeners.source}
        # Without time to drain, a listener that is taken away is gone at once, and its VMs with it.
        super().__init__(config.write(folder / "envoy.yaml"), arguments=["--drain-time-s", "0"])
        self._vms_of_its_own = self._stat("wasm.envoy.wasm.runtime.v8.active")

    def serve(self, resources: dict[str, list[dict[str, Any]]]) -> None:
        """Returns when all of the clusters and then all of the listeners are there."""
        begin = self.log_path.stat().st_size
        for kind, file, path in (("clusters", self._clusters, "/clusters"), ("listeners", self._listeners, "/listeners")):
            names = [each["name"] for each in resources[kind]]
            rejected = self._rejected()
            file.write(resources[kind])

            def are_there(names: list[str] = names, path: str = path, rejected: int = rejected) -> bool:
                assert self._rejected() == rejected, self.log_path.read_text(errors="replace")[begin:]
                known = self.admin_get(path)
                return all(re.search(f"^{re.escape(name)}::", known, re.MULTILINE) for name in names)

            wait_for(are_there, f"the {kind} {names}")

    def clear(self) -> bool:
        """Takes all away; returns false if a gateway is still there after a while, or the process is not."""
        try:
            self._listeners.write([])
            wait_for(self._is_idle, "the gateway to be gone", _SECONDS_TO_LEAVE)
            self._clusters.write([])
            wait_for(lambda: not self.admin_get("/clusters"), "the clusters to be gone", _SECONDS_TO_LEAVE)
        except (AssertionError, OSError):
            return False
        return True

    def _is_idle(self) -> bool:
        return self._stat("wasm.envoy.wasm.runtime.v8.active") == self._vms_of_its_own

    def _rejected(self) -> int:
        return sum(self._stat(name) for name in ("cluster_manager.cds.update_rejected", "listener_manager.lds.update_rejected"))

    def _stat(self, name: str) -> int:
        return int(self.admin_get(f"/stats?filter=^{re.escape(name)}$").rpartition(":")[2])


class Tenant(Envoy):
    """One gateway in it: an Envoy to a test that asks for nothing of the process. Made by `SharedEnvoy.take_in`."""

    def __init__(self, home: SharedEnvoy, process: _Process, config: Path):
        self.config, self.admin, self.log_path = config, process.admin, process.log_path
        self._home, self._process = home, process._process
        self._begin, self._end = process.log_path.stat().st_size, None
        self.has_changed_process = False

    def log(self) -> str:
        """Its own lines."""
        return self.log_path.read_bytes()[self._begin : self._end].decode(errors="replace")

    def admin_get(self, path: str) -> str:
        self.has_changed_process |= path.startswith("/logging")
        return super().admin_get(path)

    def stop(self, grace: float = 0) -> None:
        """Ends the gateway, and leaves the process to the next one."""
        if self._end is None:
            self._home.let_go(self)
            self._end = self.log_path.stat().st_size
