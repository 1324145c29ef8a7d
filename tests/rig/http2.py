"""As much of an HTTP/2 client as it takes to post something: prior knowledge, one request at a time, headers without compression."""

import socket
import struct
from types import TracebackType
from typing import Self

from .http import Address

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY = 0, 1, 4, 6, 7
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1

# Of the static table of HPACK (RFC 7541, appendix A): a status that is a field of its own.
_STATUSES = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}


class Http2:
    def __init__(self, address: Address):
        self._socket = socket.create_connection(address, timeout=10)
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
        self._next_stream = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        self._socket.close()

    def post(self, path: str, headers: list[tuple[str, str]], body: bytes, trailer: tuple[str, str] | None = None) -> int:
        """The status, where it is one of HPACK's own."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", "gateway"), (":path", path)]
        block = b"".join(_literal(name, value) for name, value in [*pseudo, *headers])
        flags = _END_HEADERS | (0 if body or trailer else _END_STREAM)
        request = _frame(_HEADERS, flags, stream, block)
        if body:
            request += _frame(_DATA, 0 if trailer else _END_STREAM, stream, body)
        if trailer:
            request += _frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, _literal(*trailer))
        self._socket.sendall(request)
        while True:
            kind, flags, of_stream, payload = self._receive()
            if kind == _SETTINGS and not flags & _ACK:
                self._socket.sendall(_frame(_SETTINGS, _ACK, 0, b""))
            elif kind == _GOAWAY:
                raise AssertionError(f"the peer goes away: {payload!r}")
            elif kind == _HEADERS and of_stream == stream:
                return _STATUSES[payload[0] & 0x7F]

    def _receive(self) -> tuple[int, int, int, bytes]:
        head = self._read(9)
        length, kind, flags, stream = int.from_bytes(head[:3], "big"), head[3], head[4], head[5:]
        return kind, flags, int.from_bytes(stream, "big"), self._read(length)

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            if not (more := self._socket.recv(count - len(data))):
                raise ConnectionError("the peer hung up")
            data += more
        return data


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name: str, value: str) -> bytes:
    """A field without indexing and without Huffman; texts under 127 bytes."""
    return b"\x00" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))
