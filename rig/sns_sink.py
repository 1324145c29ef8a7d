"""An SNS endpoint that keeps up with any load, counts what it stores, and answers as badly as a test wants.

It checks no signature (moto does) and delivers to nobody. It runs in a thread, so that a test can look into it.
"""

import asyncio
import socket
import ssl
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, cast

from . import LOOPBACK
from .http import Address
from .sns_answers import Answer, Answers, acknowledge
from .sns_request import Entry, SnsRequest
from .waiting import PATIENCE, wait_for

# Enough for every test that looks into requests; a load test only counts.
_REQUESTS_KEPT = 200


class SnsSink:
    """Ready when constructed. `answers` may be replaced at any time."""

    read_request: Callable[[str, str, dict[str, str], bytes], Any] = SnsRequest
    content_type = "text/xml"

    def __init__(self, tls: ssl.SSLContext | None = None, port: int = 0):
        self.answers: Answers = acknowledge
        self.requests: deque[SnsRequest] = deque(maxlen=_REQUESTS_KEPT)
        self.stored: Counter[str] = Counter()
        """Event id to how many times it was stored: what consumers of the topic would get."""
        self.marks: set[int] = set()
        """The load generator's numbers of the stored events."""
        self.request_count = 0
        self.server_names: list[str | None] = []
        """What clients asked for in TLS handshakes."""
        if tls:
            tls.sni_callback = lambda _socket, name, _context: self.server_names.append(name)
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._connections: set[_Connection] = set()
        self._server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), LOOPBACK, port, ssl=tls, reuse_address=True)
        )
        self.address: Address = self._server.sockets[0].getsockname()[:2]
        self._thread = threading.Thread(target=self._loop.run_forever, name="sns-sink", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        def close() -> None:
            self._server.close()
            for connection in list(self._connections):
                connection.abort()
            # After the connections' own last callbacks, which abort() has just queued.
            self._loop.call_soon(self._loop.stop)

        self._loop.call_soon_threadsafe(close)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> "SnsSink":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop_connections(self) -> None:
        """Resets every connection; clients may come back."""
        self._loop.call_soon_threadsafe(lambda: [connection.abort() for connection in list(self._connections)])

    def forget(self) -> None:
        """As if nothing had been received yet."""
        self.stored.clear()
        self.requests.clear()

    def wait_for_events(self, count: int, timeout: float = PATIENCE) -> list[Entry]:
        """All entries received, once `count` different events are stored."""
        wait_for(lambda: len(self.stored) >= count, f"{count} events in the sink", timeout)
        return self.entries()

    def entries(self) -> list[Entry]:
        """Those of the last requests, refused ones and repeated ones included."""
        return [entry for request in list(self.requests) for entry in request.entries]

    def answer(self, request: SnsRequest) -> Answer:
        self.request_count += 1
        self.requests.append(request)
        answer = self.answers(request)
        for each in request.summaries:
            if each.entry_id in answer.stored:
                self.stored[each.event_id] += 1
                if each.mark is not None:
                    self.marks.add(each.mark)
        return answer

    def deliver(self, _: Any, answer: Answer, reply: Callable[[Answer], None]) -> None:
        """Replies, at once or when the answer says."""
        if answer.delay:
            asyncio.get_running_loop().call_later(answer.delay, reply, answer)
        else:
            reply(answer)

    def connection_opened(self, connection: "_Connection") -> None:
        self._connections.add(connection)

    def connection_closed(self, connection: "_Connection") -> None:
        self._connections.discard(connection)


class _Connection(asyncio.Protocol):
    def __init__(self, sink: SnsSink):
        self._sink = sink
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._sink.connection_opened(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._sink.connection_closed(self)

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            stop = end + 4 + int(headers.get("content-length", 0))
            if len(self._buffer) < stop:
                return
            method, target, _ = first.split(" ", 2)
            request = self._sink.read_request(method, target, headers, bytes(self._buffer[end + 4 : stop]))
            del self._buffer[:stop]
            self._sink.deliver(request, self._sink.answer(request), self._reply)

    def _reply(self, answer: Answer) -> None:
        head = f"HTTP/1.1 {answer.status} As-Asked\r\ncontent-type: {self._sink.content_type}\r\n"
        head += f"content-length: {len(answer.body)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
        reply = (head.encode("latin-1") + b"\r\n" + answer.body) * answer.copies
        if answer.cut_at is None:
            self._transport.write(reply)
        else:
            self._transport.write(reply[: answer.cut_at])
            if answer.reset:
                # Closed with a linger time of zero, a connection ends with RST.
                raw = self._transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.close()
