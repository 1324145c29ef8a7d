"""Pages of a slow service, kept until somebody says that they changed.

Bounded in bytes, and in time as well: a change that nobody heard of is seen after `max_age_seconds`.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

# What an entry takes beside its path and its page, roughly.
_BYTES_OF_ENTRY = 300


class PageCache:
    def __init__(
        self,
        fetch: Callable[[str], bytes],
        most_bytes: int = 64 << 20,
        max_age_seconds: float = 3600,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._fetch = fetch
        self._most_bytes = most_bytes
        self._max_age_seconds = max_age_seconds
        self._clock = clock
        self._lock = threading.Lock()
        # The page that was asked for last is the last one.
        self._pages: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._bytes = 0
        self._expiries = 0

    def get(self, path: str) -> tuple[bytes, bool]:
        """Returns the page, and whether it was in the cache."""
        with self._lock:
            if path in self._pages:
                page, kept_until = self._pages[path]
                if self._clock() < kept_until:
                    self._pages.move_to_end(path)
                    return page, True
                self._remove(path)
            expiries = self._expiries
        page = self._fetch(path)
        with self._lock:
            # A page that was fetched while something expired may be the old one: it is shown once,
            # but not kept.
            if expiries == self._expiries:
                self._keep(path, page)
        return page, False

    def expire(self, path: str) -> None:
        with self._lock:
            self._expiries += 1
            self._remove(path)

    def _keep(self, path: str, page: bytes) -> None:
        self._remove(path)
        self._pages[path] = (page, self._clock() + self._max_age_seconds)
        self._bytes += _size(path, page)
        while self._bytes > self._most_bytes:
            self._remove(next(iter(self._pages)))

    def _remove(self, path: str) -> None:
        if path in self._pages:
            self._bytes -= _size(path, self._pages.pop(path)[0])


def _size(path: str, page: bytes) -> int:
    return _BYTES_OF_ENTRY + len(path) + len(page)
