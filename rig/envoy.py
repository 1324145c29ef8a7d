"""A running Envoy: started from a configuration file, asked through its admin interface."""

import json
import os
import re
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .http import Address, send
from .process import ServerProcess
from .waiting import wait_for

BINARY = Path(sys.executable).parent / "envoy"


def command(config: Path, *more: str, binary: Path = BINARY) -> list[str]:
    # Without hot restart, Envoys on one machine do not meet in shared memory.
    return [str(binary), "-c", str(config), "--disable-hot-restart", "-l", "warning", *more]


class Envoy(ServerProcess):
    """Ready when constructed."""

    def __init__(
        self,
        config: Path,
        environment: dict[str, str] | None = None,
        workers: int = 1,
        arguments: Sequence[str] = (),
        binary: Path = BINARY,
    ):
        self.config = config
        admin_address = config.with_suffix(".admin-address")
        admin_address.unlink(missing_ok=True)
        super().__init__(
            command(
                config,
                "--component-log-level", "wasm:info",
                "--concurrency", str(workers),
                "--admin-address-path", str(admin_address),
                *arguments,
                binary=binary,
            ),
            config.with_suffix(".log"),
            environment,
        )  # fmt: skip
        try:
            host, port = wait_for(lambda: self._read(admin_address), "Envoy's admin address").rsplit(":", 1)
            self.admin: Address = (host, int(port))
            wait_for(self._is_ready, "Envoy to be ready")
        except BaseException:
            self.stop()
            raise

    def _read(self, path: Path) -> str:
        self.assert_running()
        return path.read_text() if path.exists() else ""

    def _is_ready(self) -> bool:
        self.assert_running()
        try:
            return self.admin_get("/ready").startswith("LIVE")
        except OSError:
            # On its way out; the exit code and the log will tell why.
            return False

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It reads nothing meanwhile; then it finds all of it."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def admin_get(self, path: str) -> str:
        return send(self.admin, "GET", path).body.decode()

    def address_of(self, listener: str = "gateway") -> Address:
        statuses = json.loads(self.admin_get("/listeners?format=json"))["listener_statuses"]
        (address,) = (each["local_address"]["socket_address"] for each in statuses if each["name"] == listener)
        return address["address"], address["port_value"]

    @property
    def has_trapped(self) -> bool:
        """One of its VMs, at any time."""
        return re.search("panicked|Uncaught (Runtime|Range)Error", self.log()) is not None

    def assert_no_trap(self) -> None:
        """It runs, and every VM that it has made is alive."""
        self.assert_running()
        assert not self.has_trapped, self.log()[-4000:]

    def metrics(self) -> dict[str, float]:
        """The samples at /stats/prometheus whose names begin with retrohook, those of all targets together."""
        sums: dict[str, float] = defaultdict(float)
        for name, value in re.findall(r"^(retrohook\w*)\S* (\S+)$", self.admin_get("/stats/prometheus"), re.MULTILINE):
            sums[name] += float(value)
        return dict(sums)

    def metric(self, name: str, target: str | None = None) -> float:
        """A sample, or the sum of those of all targets."""
        if target is None:
            return self.metrics().get(name, 0.0)
        of_target = rf'^{name}{{[^}}\n]*target="{re.escape(target)}"[^}}\n]*}} (\S+)$'
        return float(re.findall(of_target, self.admin_get("/stats/prometheus"), re.MULTILINE)[0])
