"""A server in a process of its own: started with a log file, stopped by its process id."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Self

from .http import Address, send
from .waiting import PATIENCE, wait_for

# So that a test run that is killed leaves no server behind; where there is no setpriv (util-linux), it may.
_DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


class ServerProcess:
    """One running server. Its output goes to `log_path`."""

    def __init__(self, command: list[str], log_path: Path, environment: dict[str, str] | None = None):
        self.log_path = log_path
        with open(log_path, "wb") as log:
            # In a session of its own: Ctrl-C in a terminal reaches only the parent, which then stops all in order.
            self._process = subprocess.Popen(
                [*_DIE_WITH_PARENT, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], **(environment or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def assert_running(self) -> None:
        if self.exit_code is not None:
            raise AssertionError(f"{self.log_path.name} ended with {self.exit_code}:\n{self.log()[-4000:]}")

    def wait_for_log(self, pattern: str, timeout: float = PATIENCE) -> re.Match[str]:
        """The first match of `pattern` in the log of the running server."""

        def probe() -> re.Match[str] | None:
            match = re.search(pattern, self.log())
            if not match:
                self.assert_running()
            return match

        return wait_for(probe, f"{pattern!r} in {self.log_path}", timeout)

    def wait_for_page(self, address: Address, path: str, timeout: float = PATIENCE) -> None:
        """Waits until it answers 200 there; it ends where it does not."""

        def probe() -> bool:
            self.assert_running()
            try:
                return send(address, "GET", path).status == 200
            except OSError:
                return False

        try:
            wait_for(probe, f"{path} of {self.log_path.stem}", timeout)
        except BaseException:
            self.stop()
            raise

    def wait_for_exit(self, timeout: float = PATIENCE) -> int:
        return self._process.wait(timeout)

    def stop(self, grace: float = PATIENCE) -> None:
        if self.exit_code is None:
            self._process.terminate()
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
