"""A name server that knows every name or none, as a test wants."""

import socket
import threading

from . import LOOPBACK
from .http import Address

_SERVFAIL = 2
_LOOPBACK_RECORD = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x7f\x00\x00\x01"
"""The name that was asked for, type A, class IN, a life of zero seconds, 127.0.0.1 (RFC 1035, section 4.1.3)."""


class NameServer:
    """Answers 127.0.0.1 for every name, or fails while it is `gone`."""

    def __init__(self) -> None:
        self.gone = False
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((LOOPBACK, 0))
        self.address: Address = self._socket.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            query, peer = self._socket.recvfrom(4096)
            if not query:
                return
            self.asked += 1
            self._socket.sendto(self._answer(query), peer)

    def _answer(self, query: bytes) -> bytes:
        end_of_name = query.index(b"\0", 12) + 1
        question = query[12 : end_of_name + 4]
        is_address = query[end_of_name : end_of_name + 2] == b"\0\x01"
        flags = 0x8180 | (_SERVFAIL if self.gone else 0)
        records = [] if self.gone or not is_address else [_LOOPBACK_RECORD]
        counts = (1, len(records), 0, 0)
        head = query[:2] + b"".join(number.to_bytes(2, "big") for number in (flags, *counts))
        return head + question + b"".join(records)

    def __enter__(self) -> "NameServer":
        return self

    def __exit__(self, *_: object) -> None:
        # An empty datagram is the sign to stop.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(b"", self.address)
        self._thread.join()
        self._socket.close()
