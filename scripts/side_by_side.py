"""Runs commands at once, and shows them one after the other: python3 side_by_side.py COMMAND COMMAND…

What the first one that has not ended says is shown as it comes; what the others say waits for its turn, so that nothing is
mixed. When one fails, the others are ended, and what it said comes last. Each command is one argument, for a shell.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import BinaryIO

_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_TO_END = 10.0


class Job:
    """One command, which has begun."""

    def __init__(self, command: str):
        self.command = command
        self._said: BinaryIO = tempfile.TemporaryFile()
        self._shown = 0
        self._begin = time.monotonic()
        self._seconds: float | None = None
        # In a group of its own, so that it ends with all that it has started.
        self._process = subprocess.Popen(
            command, shell=True, stdin=subprocess.DEVNULL, stdout=self._said, stderr=subprocess.STDOUT, start_new_session=True
        )

    @property
    def status(self) -> int | None:
        """None while it runs."""
        status = self._process.poll()
        if status is not None and self._seconds is None:
            self._seconds = time.monotonic() - self._begin
        return status

    def show(self) -> None:
        """Shows what it has said since the last time."""
        size = os.fstat(self._said.fileno()).st_size
        if not self._shown and size:
            print(f"--- {self.command}", flush=True)
        while self._shown < size:
            piece = os.pread(self._said.fileno(), 1 << 16, self._shown)
            sys.stdout.buffer.write(piece)
            self._shown += len(piece)
        sys.stdout.flush()

    def close(self) -> None:
        self.show()
        print(f"--- {self.command}: status {self.status} after {self._seconds:.0f} s", flush=True)

    def end(self) -> None:
        if self.status is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


def run(commands: list[str]) -> int:
    """Returns the status of the first command that fails, or 0."""
    signals: list[int] = []
    for each in (signal.SIGINT, signal.SIGTERM):
        # Nothing is raised in the middle of a command's start, which would be forgotten then.
        signal.signal(each, lambda number, _: signals.append(number))
    jobs = [Job(command) for command in commands]
    try:
        waiting = list(jobs)
        while waiting:
            if signals:
                return _of_signal(signals[0])
            if failed := next((job for job in jobs if job.status not in (None, 0)), None):
                for job in jobs:
                    job.end()
                failed.close()
                return failed.status if failed.status > 0 else _of_signal(-failed.status)
            waiting[0].show()
            if waiting[0].status == 0:
                waiting.pop(0).close()
            else:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        return 0
    finally:
        for job in jobs:
            job.end()


def _of_signal(number: int) -> int:
    """As a shell says that a signal ended a command."""
    return 128 + number


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
