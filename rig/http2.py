"""An HTTP/2 client for tests, without TLS: many requests at once on one connection, and one that may be odd."""

import socket

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RemoteSettingsChanged, ResponseReceived, StreamEnded, StreamReset, TrailersReceived

from .http import Address, Reply


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


def exchange(
    address: Address,
    head: dict[str, str],
    body: bytes = b"",
    trailer: tuple[str, str] | None = None,
    left_open: bool = False,
    timeout: float = 20.0,
) -> Reply | None:
    """Sends one request, whose head may be anything; the reply, with its trailers among its headers, or `None` if it was reset or
    the peer hung up."""
    headers: dict[str, str] = {}
    received = b""
    has_ended = False
    with socket.create_connection(address, timeout=timeout) as peer:
        connection = H2Connection(H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False))
        connection.initiate_connection()
        stream = connection.get_next_available_stream_id()
        fields = {":method": "POST", ":scheme": "http", ":authority": "gateway", **head}
        connection.send_headers(stream, list(fields.items()), end_stream=not (body or trailer or left_open))
        sent = 0
        while not has_ended:
            while sent < len(body) and (window := connection.local_flow_control_window(stream)):
                piece = body[sent : sent + min(window, connection.max_outbound_frame_size)]
                sent += len(piece)
                connection.send_data(stream, piece, end_stream=sent == len(body) and not trailer)
            if trailer and sent == len(body):
                connection.send_headers(stream, [trailer], end_stream=True)
                trailer = None
            peer.sendall(connection.data_to_send())
            data = peer.recv(65536)
            if not data:
                return None
            for event in connection.receive_data(data):
                match event:
                    case ResponseReceived(headers=fields):
                        headers = {name.decode(): value.decode() for name, value in fields}
                    case TrailersReceived(headers=fields):
                        headers |= {name.decode(): value.decode() for name, value in fields}
                    case DataReceived(data=piece):
                        received += piece
                    case StreamEnded() | StreamReset():
                        has_ended = True
    return Reply(int(headers.pop(":status")), headers, received) if headers else None


def post(address: Address, path: str, body: bytes, trailer: tuple[str, str] | None = None) -> int:
    """The status of the response to one JSON request, which may have a trailer; 0 if it was reset."""
    reply = exchange(address, {":path": path, "content-type": "application/json"}, body, trailer)
    return reply.status if reply else 0


def streams_at_once(address: Address, timeout: float = 20.0) -> int:
    """How many streams the peer lets one connection have."""
    with socket.create_connection(address, timeout=timeout) as peer:
        connection = H2Connection()
        connection.initiate_connection()
        peer.sendall(connection.data_to_send())
        while not any(isinstance(event, RemoteSettingsChanged) for event in connection.receive_data(peer.recv(65536))):
            pass
        return connection.remote_settings.max_concurrent_streams
