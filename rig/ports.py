"""Where the servers of a stage listen: at ports that a reader can remember, or at free ones."""

import socket
from typing import IO

from . import LOOPBACK
from .claim import claim_port

FREE = 0


class Ports:
    """Fixed ports by name. One that is taken becomes a free one, which a line says."""

    def __init__(self, fixed: dict[str, int] | None = None):
        self._fixed = fixed or {}
        self._claims: list[IO[str]] = []

    def of(self, name: str) -> int:
        """The port for a server; `FREE` lets the system choose."""
        port = self._fixed.get(name, FREE)
        if port == FREE or self._have(port):
            return port
        print(f"  port {port} is taken: {name} has a free one", flush=True)
        return FREE

    def _have(self, port: int) -> bool:
        # Another run may be about to listen there.
        if not (claim := claim_port(port)):
            return False
        self._claims.append(claim)
        try:
            # Envoys would share a port with each other, and this asks for it alone.
            with socket.create_server((LOOPBACK, port)):
                return True
        except OSError:
            return False


ANY = Ports()
