"""The stand-in for the third-party profile service that cannot say that a profile changed.

Any path ending in `/profile` is a profile: GET reads it, everything else changes it. `?status=503` makes it answer with
that status and change nothing. Fast enough not to be what a load test measures.
"""

import asyncio
import re
import sys
from pathlib import Path
from typing import cast

from . import LOOPBACK
from .http import Address
from .process import ServerProcess

# Envoy sends header names in lower case, Kong as its client wrote them.
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


class _Profile:
    def __init__(self) -> None:
        self.version = 1
        self.document = b"{}"

    def answer(self, method: bytes, target: bytes, body: bytes) -> tuple[int, bytes]:
        path, _, query = target.partition(b"?")
        asked = re.search(rb"(?:^|&)status=(\d{3})", query)
        status = int(asked[1]) if asked else 200
        if not path.endswith(b"/profile"):
            status = 404
        elif status == 200 and method not in (b"GET", b"HEAD"):
            self.version += 1
            self.document = body or b"{}"
        return status, b'{"version": %d, "profile": %b}' % (self.version, self.document)


class _Connection(asyncio.Protocol):
    def __init__(self, profile: _Profile):
        self._profile = profile
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _CONTENT_LENGTH.search(self._buffer, 0, end)
            stop = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < stop:
                return
            method, target, _ = self._buffer[: self._buffer.find(b"\r\n")].split(b" ", 2)
            body, self._buffer = self._buffer[end + 4 : stop], self._buffer[stop:]
            self._reply(method, target, body)

    def _reply(self, method: bytes, target: bytes, body: bytes) -> None:
        status, payload = self._profile.answer(method, target, body)
        head = (
            b"HTTP/1.1 %d As-Asked\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"x-seen-path: %b\r\nset-cookie: session=of-the-service\r\n\r\n"
        )
        self._transport.write(head % (status, len(payload), target) + (b"" if method == b"HEAD" else payload))


async def _serve(host: str = LOOPBACK, port: int = 0) -> None:
    profile = _Profile()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(profile), host, port)
    print("listening on port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class ProfileService(ServerProcess):
    """Ready when constructed."""

    def __init__(self, log_path: Path):
        super().__init__(
            [sys.executable, "-m", "rig.profile_service"], log_path, {"PYTHONPATH": str(Path(__file__).parents[1])}
        )
        self.address: Address = (LOOPBACK, int(self.wait_for_log(r"listening on port (\d+)")[1]))


if __name__ == "__main__":
    # HOST and PORT, for a container.
    asyncio.run(_serve(*sys.argv[1:2], *map(int, sys.argv[2:3])))
