"""A load generator that counts every response exactly, at a steady rate, in a process of its own.

Generators that stop by the clock leave requests behind whose responses nobody saw; this one sends a fixed number, or waits for
the responses of what it has sent when it is told to finish. Every request carries its number as `mark` in the query, so that what arrives behind the gateway can be told apart.
"""

import contextlib
import json
import select
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path

from .http import Address


@dataclass(frozen=True)
class LoadResult:
    statuses: dict[int, int]
    """Status to number of responses; 0 for a connection that ended before its response did."""
    seconds: float
    median_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return sum(self.statuses.values()) / self.seconds


class LoadProcess:
    """Running when constructed."""

    def __init__(
        self, address: Address, method: str, path: str, count: int, rate: float, connections: int = 32, headers: int = 0, body: int = 13
    ):
        """`headers` are more of them than `host` and `content-length`; `body` is how many bytes of JSON it has."""
        arguments = [address[0], address[1], method, path, count, rate, connections, headers, body]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rig.load", *map(str, arguments)],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(Path(__file__).parents[1])},
        )

    def finish(self) -> LoadResult:
        """Sends no more, though `count` may not be reached, and waits for the end."""
        self._process.send_signal(signal.SIGTERM)
        return self.result()

    def result(self) -> LoadResult:
        """Waits for the end."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise AssertionError(f"the load generator ended with {self._process.returncode}")
        fields = json.loads(output)
        return LoadResult(**{**fields, "statuses": {int(key): value for key, value in fields["statuses"].items()}})


def run_load(
    address: Address, method: str, path: str, count: int, rate: float, connections: int = 32, headers: int = 0, body: int = 13
) -> LoadResult:
    return LoadProcess(address, method, path, count, rate, connections, headers, body).result()


class Connection:
    """One request at a time on a kept-alive connection, which is opened anew when the peer ends it."""

    def __init__(self, address: Address, poller: select.epoll):
        self._address = address
        self._poller = poller
        self._socket: socket.socket | None = None
        self.awaits_response = False
        self.sent_at = 0.0
        self._buffer = b""

    def send(self, request: bytes) -> int:
        """Gives the descriptor that will be readable when there is something to receive."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._poller.register(self._socket, select.EPOLLIN)
        self.awaits_response = True
        self.sent_at = time.perf_counter()
        # On a connection that the peer has reset, `receive` will tell.
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(request)
        return self._socket.fileno()

    def receive(self) -> int | None:
        """The status of the response once it is whole, 0 if the peer hung up on it, None if there is more to come."""
        data = self._read()
        if not data:
            hung_up_on_us, self.awaits_response = self.awaits_response, False
            return 0 if hung_up_on_us else None
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return None
        self._buffer = b""
        self.awaits_response = False
        return int(head[9:12])

    def _read(self) -> bytes:
        """What has come; nothing, and the connection is closed, if the peer hung up."""
        assert self._socket
        try:
            data = self._socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._poller.unregister(self._socket)
            self._socket.close()
            self._socket, self._buffer = None, b""
        return data


def _drive(
    address: Address, method: str, path: str, count: int, rate: float, connections: int, headers: int, body: int
) -> LoadResult:
    poller = select.epoll()
    # In turn, so that at a low rate, too, every worker of the gateway gets its share.
    idle = deque(Connection(address, poller) for _ in range(connections))
    by_descriptor: dict[int, Connection] = {}
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    more = "".join(f"x-header-{number}: value of header {number}\r\n" for number in range(headers))
    head = f"{method} {path}?mark=%d HTTP/1.1\r\nhost: gateway\r\ncontent-length: {body}\r\n{more}\r\n"
    template = head + '{"foo":"' + "bar".ljust(body - 10, "r") + '"}'
    sent = 0
    start = time.perf_counter()
    finishing = False

    def finish(*_: object) -> None:
        nonlocal finishing
        finishing = True

    signal.signal(signal.SIGTERM, finish)
    while len(latencies) < count:
        due = min(count, int((time.perf_counter() - start) * rate) + 1)
        while idle and sent < due:
            connection = idle.popleft()
            by_descriptor[connection.send((template % sent).encode())] = connection
            sent += 1
        until_next = start + sent / rate - time.perf_counter()
        for descriptor, _ in poller.poll(max(0.0, until_next) if idle and sent < count else 1.0):
            connection = by_descriptor[descriptor]
            status = connection.receive()
            if status is not None:
                statuses[status] += 1
                latencies.append(time.perf_counter() - connection.sent_at)
                idle.append(connection)
        if finishing:
            count = sent
    seconds = time.perf_counter() - start
    latencies.sort()
    in_ms = [latencies[int(len(latencies) * share)] * 1000 for share in (0.5, 0.99)]
    return LoadResult(dict(statuses), seconds, *in_ms)


if __name__ == "__main__":
    host, port, method, path, count, rate, *numbers = sys.argv[1:]
    result = _drive((host, int(port)), method, path, int(count), float(rate), *map(int, numbers))
    print(json.dumps(result.__dict__))
