"""A service whose response a test chooses by the path: how its end is marked, and how it comes, over HTTP/1.1 or HTTP/2."""

import socket
import threading
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

from . import LOOPBACK
from .http import Address

_OK = b"HTTP/1.1 200 OK\r\n"

# Response by the last part of the path, as bytes that come one after the other.
HTTP_1: dict[str, list[bytes]] = {
    "empty": [_OK + b"content-length: 0\r\n\r\n"],
    "sized": [_OK + b"content-length: 9\r\n\r\nwhole", b"body"],
    "chunked": [_OK + b"transfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n", b"4\r\nbody\r\n", b"0\r\n\r\n"],
}

# The same as a body and a trailer; without a body the trailer is part of the head.
HTTP_2: dict[str, tuple[bytes, tuple[str, str]]] = {
    "trailer": (b"wholebody", ("x-checksum", "7")),
    "grpc": (b"\0\0\0\0\x04body", ("grpc-status", "0")),
    "grpc-without-a-message": (b"", ("grpc-status", "0")),
}


class ScriptedService:
    """Ready when constructed."""

    def __init__(self, speak: Callable[[socket.socket], None]):
        self._speak = speak
        self._server = socket.create_server((LOOPBACK, 0))
        self.address: Address = self._server.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self._speak(connection)
            except OSError:
                # Envoy has hung up.
                return


def speak_http_1(connection: socket.socket) -> None:
    """Serves `HTTP_1`, to requests without a body."""
    buffer = b""
    while data := connection.recv(65536):
        buffer += data
        while b"\r\n\r\n" in buffer:
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            for piece in HTTP_1[path.rsplit("/", 1)[-1]]:
                connection.sendall(piece)


def speak_http_2(connection: socket.socket) -> None:
    """Serves `HTTP_2`."""
    peer = H2Connection(H2Configuration(client_side=False))
    peer.initiate_connection()
    connection.sendall(peer.data_to_send())
    paths: dict[int, str] = {}
    while data := connection.recv(65536):
        for event in peer.receive_data(data):
            stream = getattr(event, "stream_id", None)
            if headers := getattr(event, "headers", None):
                paths[stream] = dict(headers)[b":path"].decode()
            if isinstance(event, StreamEnded):
                _answer(peer, stream, paths[stream].rsplit("/", 1)[-1])
        connection.sendall(peer.data_to_send())


def _answer(peer: H2Connection, stream: int, kind: str) -> None:
    body, trailer = HTTP_2[kind]
    head = [(":status", "200"), ("content-type", "application/grpc" if kind.startswith("grpc") else "text/plain")]
    if not body:
        return peer.send_headers(stream, [*head, trailer], end_stream=True)
    peer.send_headers(stream, head)
    peer.send_data(stream, body)
    return peer.send_headers(stream, [trailer], end_stream=True)
