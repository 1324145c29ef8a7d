"""Pages of a slow service, kept until somebody says that they changed."""

import threading
from collections.abc import Callable


class PageCache:
    def __init__(self, fetch: Callable[[str], bytes]):
        self._fetch = fetch
        self._lock = threading.Lock()
        self._pages: dict[str, bytes] = {}
        self._expiries = 0

    def get(self, path: str) -> tuple[bytes, bool]:
        """The page, and whether it was in the cache."""
        with self._lock:
            if path in self._pages:
                return self._pages[path], True
            expiries = self._expiries
        page = self._fetch(path)
        with self._lock:
            # A page that was fetched while something expired may be the old one: it is shown once, but not kept.
            if expiries == self._expiries:
                self._pages[path] = page
        return page, False

    def expire(self, path: str) -> None:
        with self._lock:
            self._expiries += 1
            self._pages.pop(path, None)
