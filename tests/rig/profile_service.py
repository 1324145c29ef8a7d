"""The stand-in for the third-party profile service that cannot say that a profile changed.

Any path ending in `/profile` is a profile: GET reads it, everything else changes it. `?status=503` makes it answer with
that status and change nothing. Fast enough not to be what a load test measures.
"""

import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from . import LOOPBACK
from .http import Address
from .process import ServerProcess

_REASONS = {200: "OK", 404: "Not Found"}


class _Profile:
    def __init__(self) -> None:
        self.version = 1
        self.document: object = {}

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, dict[str, object]]:
        url = urlsplit(target)
        status = int(parse_qs(url.query).get("status", ["200"])[0]) if "status=" in url.query else 200
        if not url.path.endswith("/profile"):
            status = 404
        elif method not in ("GET", "HEAD") and status == 200:
            self.version += 1
            if body.startswith(b"{"):
                self.document = json.loads(body)
        return status, {"version": self.version, "profile": self.document}


class _Connection(asyncio.Protocol):
    def __init__(self, profile: _Profile):
        self._profile = profile
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].decode("latin-1")
            length = 0
            for line in head.split("\r\n"):
                if line.lower().startswith("content-length:"):
                    length = int(line[15:])
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
            self._reply(method, target, body)

    def _reply(self, method: str, target: str, body: bytes) -> None:
        status, document = self._profile.answer(method, target, body)
        payload = json.dumps(document).encode()
        head = (
            f"HTTP/1.1 {status} {_REASONS.get(status, 'As Asked')}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(payload)}\r\nx-seen-path: {target}\r\nset-cookie: session=of-the-service\r\n\r\n"
        )
        self._transport.write(head.encode("latin-1") + (b"" if method == "HEAD" else payload))


async def _serve() -> None:
    profile = _Profile()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(profile), LOOPBACK, 0)
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
    asyncio.run(_serve())
