"""Keeps several runs on one machine apart: each has a folder for its logs, and ports, until its process ends."""

import fcntl
import itertools
import os
import tempfile
from pathlib import Path
from typing import IO


def claim(lock: Path) -> IO[str] | None:
    """The lock of a file, held until the result is closed or the process ends; None if another run has it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = open(lock, "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def claim_folder(folder: Path) -> tuple[Path, IO[str]]:
    """`folder`, or where another run writes to that one `folder-2` and so on, with its lock."""
    for number in itertools.count(1):
        path = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        if lock := claim(path.with_name(f"{path.name}.lock")):
            return path, lock
    raise AssertionError("there is always one more")


def claim_port(port: int) -> IO[str] | None:
    """The lock of a port among the runs of one user, for the time in which nobody listens there yet."""
    return claim(Path(tempfile.gettempdir()) / f"retrohook-{os.getuid()}" / f"port-{port}.lock")
