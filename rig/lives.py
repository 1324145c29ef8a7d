"""What ends a filter in a running Envoy: a new configuration, and a trap."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .envoy import Envoy
from .envoy_config import EnvoyConfig
from .gateway import TRAPPING_WASM, StartGateway
from .http import Address, send
from .waiting import wait_for

_UPDATES = "listener_manager.lds.update_success"


def let_trap(config: EnvoyConfig) -> None:
    """Has the gateway run the filter that a request can make trap."""
    config.plugin["vm_config"]["code"]["local"]["filename"] = str(TRAPPING_WASM)


def traps(envoy: Envoy) -> int:
    return envoy.log().count("Uncaught RuntimeError")


def trap(envoy: Envoy, path: str = "/mockbin/profile", listener: str = "gateway") -> None:
    """Makes a VM trap. A request may come to a worker whose VM is not back yet, and then it does nothing."""
    before = traps(envoy)

    def has_trapped() -> bool:
        try:
            send(envoy.address_of(listener), "PUT", path, {"x-retrohook-trap": "now"})
        except OSError:
            return False
        return traps(envoy) > before

    wait_for(has_trapped, "a trap")


class ReloadableGateway:
    """A gateway that takes new configurations. Ready when constructed."""

    def __init__(
        self,
        start: StartGateway,
        folder: Path,
        way: str,
        aws: Address,
        may_trap: bool = False,
        adjust: Callable[[EnvoyConfig], None] = lambda _: None,
        **settings: Any,
    ):
        def adjust_all(config: EnvoyConfig) -> None:
            if may_trap:
                let_trap(config)
            adjust(config)
            config.serve_listeners(folder / "lds" / "listeners.json")
            self._config = config

        (folder / "lds").mkdir()
        self.envoy: Envoy = start(way, aws, adjust=adjust_all, arguments=["--drain-time-s", "1"], **settings)
        self._updates = 1
        wait_for(lambda: "gateway" in self.envoy.admin_get("/listeners"), "the listener")

    def reload(self, **changes: Any) -> None:
        """Replaces top-level keys of Retrohook's configuration."""
        self._config.update_listeners(**changes)
        self._updates += 1
        updated = f"{_UPDATES}: {self._updates}\n"
        wait_for(lambda: updated in self.envoy.admin_get(f"/stats?filter={_UPDATES}"), "the update")
