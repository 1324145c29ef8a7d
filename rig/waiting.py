"""Waiting for a condition: the only place that sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# A test that goes well never waits for so long, on a busy machine neither.
PATIENCE = 60.0


def wait_for(probe: Callable[[], T | None], what: str, timeout: float = PATIENCE) -> T:
    """The first true value of `probe`; an AssertionError naming `what` if there is none in time."""
    deadline = time.monotonic() + timeout
    while True:
        if value := probe():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s for {what}")
        time.sleep(0.02)
