"""A plain HTTP client: one request on a connection of its own, and a raw one for what no library would send."""

import http.client
import socket
from dataclasses import dataclass

Address = tuple[str, int]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


def send(
    address: Address,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: bytes | str | None = None,
    timeout: float = 10.0,
) -> Reply:
    connection = http.client.HTTPConnection(*address, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def send_raw(address: Address, request: bytes, timeout: float = 10.0) -> int:
    """Sends these very bytes; the status of the reply, 0 if the peer hung up instead of answering."""
    with socket.create_connection(address, timeout=timeout) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
            return response.status
        except (http.client.HTTPException, ConnectionError):
            return 0
