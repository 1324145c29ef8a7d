"""A plain HTTP client: one request on a connection of its own, as curl would send it, and a raw one for what no client would send."""

import http.client
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass

from . import LOOPBACK
from .waiting import wait_for

Address = tuple[str, int]

# Half the time that a call to AWS may be given, so that a reply within it did not wait for such a call.
_PATIENCE = 30.0

# Below the ports that systems hand out: a server that is to come, or to come back, finds its port free.
_KEPT_PORTS = range(20_000, 32_000)


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
    timeout: float = _PATIENCE,
) -> Reply:
    connection = http.client.HTTPConnection(*address, timeout=timeout)
    try:
        request_as_curl(connection, method, path, headers or {}, body)
        response = connection.getresponse()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def request_as_curl(
    connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str], body: bytes | str | None
) -> None:
    """Sends what `curl -X METHOD` sends, byte for byte, with `headers` as `-H` and `body` as `-d`."""
    given = {name.lower() for name in headers}
    own = {"User-Agent": "curl/7.88.1", "Accept": "*/*"}
    content = {}
    if body is not None:
        body = body.encode() if isinstance(body, str) else body
        content = {"Content-Length": str(len(body)), "Content-Type": "application/x-www-form-urlencoded"}
    connection.putrequest(method, path, skip_accept_encoding=True)
    for fields in (own, headers, content):
        for name, value in fields.items():
            if fields is headers or name.lower() not in given:
                connection.putheader(name, value)
    connection.endheaders(body)


def exchange_raw(address: Address, request: bytes, timeout: float = _PATIENCE) -> Reply | None:
    """Sends these very bytes; the reply, or `None` if the peer hung up instead of answering."""
    with socket.create_connection(address, timeout=timeout) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection, method=request.split(b" ", 1)[0].decode())
        try:
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, headers, response.read())
        except (http.client.HTTPException, ConnectionError):
            return None


def send_raw(address: Address, request: bytes, timeout: float = _PATIENCE) -> int:
    """Sends these very bytes; the status of the reply, 0 if the peer hung up instead of answering."""
    reply = exchange_raw(address, request, timeout)
    return reply.status if reply else 0


def leave(address: Address, method: str, path: str, when: Callable[[], bool]) -> None:
    """Sends a request, and hangs up once `when` is true."""
    with socket.create_connection(address, timeout=_PATIENCE) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nhost: gateway\r\ncontent-length: 0\r\n\r\n".encode())
        wait_for(when, "the moment to leave")


def unused_address() -> Address:
    """An address where nobody listens until the test does."""
    while True:
        address = (LOOPBACK, random.choice(_KEPT_PORTS))
        try:
            with socket.create_server(address):
                return address
        except OSError:
            continue
