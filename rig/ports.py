"""Where the servers of a stage listen: at ports that a reader can remember, or at free ones."""

import socket

from . import LOOPBACK

FREE = 0


class Ports:
    """Fixed ports by name. One that is taken becomes a free one, which a line says."""

    def __init__(self, fixed: dict[str, int] | None = None):
        self._fixed = fixed or {}

    def of(self, name: str) -> int:
        """The port for a server; `FREE` lets the system choose."""
        port = self._fixed.get(name, FREE)
        try:
            # Envoys would share a port with each other, and this asks for it alone.
            with socket.create_server((LOOPBACK, port)):
                return port
        except OSError:
            print(f"  port {port} is taken: {name} has a free one", flush=True)
            return FREE


ANY = Ports()
