"""An HTTP/2 client for tests: many requests at once on one connection, without TLS."""

import socket

from h2.connection import H2Connection
from h2.events import Event, ResponseReceived, StreamEnded, StreamReset

from .http import Address


def send_together(address: Address, method: str, path: str, count: int, timeout: float = 20.0) -> list[int]:
    """The statuses of the responses; 0 for a stream that was reset."""
    statuses: dict[int, int] = {}
    ended: set[int] = set()
    with socket.create_connection(address, timeout=timeout) as peer:
        connection = H2Connection()
        connection.initiate_connection()
        head = [(":method", method), (":scheme", "http"), (":authority", "gateway"), (":path", path)]
        for _ in range(count):
            stream = connection.get_next_available_stream_id()
            connection.send_headers(stream, [*head, ("content-length", "2")])
            connection.send_data(stream, b"{}", end_stream=True)
        while len(ended) < count:
            peer.sendall(connection.data_to_send())
            data = peer.recv(65536)
            assert data, "the peer hung up"
            for event in connection.receive_data(data):
                _note(event, statuses, ended)
    return [statuses[stream] for stream in sorted(statuses)]


def _note(event: Event, statuses: dict[int, int], ended: set[int]) -> None:
    match event:
        case ResponseReceived(stream_id=stream, headers=headers):
            statuses[stream] = int(dict(headers)[b":status"])
        case StreamEnded(stream_id=stream):
            ended.add(stream)
        case StreamReset(stream_id=stream):
            statuses[stream] = 0
            ended.add(stream)


def post(address: Address, path: str, body: bytes, trailer: tuple[str, str] | None = None, timeout: float = 20.0) -> int:
    """The status of the response to one JSON request, which may have a trailer; 0 if it was reset."""
    statuses: dict[int, int] = {}
    ended: set[int] = set()
    with socket.create_connection(address, timeout=timeout) as peer:
        connection = H2Connection()
        connection.initiate_connection()
        stream = connection.get_next_available_stream_id()
        head = [(":method", "POST"), (":scheme", "http"), (":authority", "gateway"), (":path", path)]
        connection.send_headers(stream, [*head, ("content-type", "application/json")], end_stream=not (body or trailer))
        if body:
            connection.send_data(stream, body, end_stream=not trailer)
        if trailer:
            connection.send_headers(stream, [trailer], end_stream=True)
        while not ended:
            peer.sendall(connection.data_to_send())
            data = peer.recv(65536)
            assert data, "the peer hung up"
            for event in connection.receive_data(data):
                _note(event, statuses, ended)
    return statuses[stream]
