"""A service whose responses end in every way but well: cut off, late, redirected, or with gRPC's own status.

It speaks HTTP/1.1 and, where a connection begins so, HTTP/2. The last part of the path says what it does (`/cut/profile`
cuts). What it has begun to do is in `begun`.
"""

import asyncio
import threading

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, RequestReceived, StreamEnded, StreamReset

from . import LOOPBACK
from .http import Address

_PREFACE = b"PRI * HTTP/2.0"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"
_WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
_REDIRECT = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://%b/mockbin/whole/moved\r\ncontent-length: 0\r\n\r\n"


class OddService:
    """Listens when constructed; a context manager."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, LOOPBACK, 0))
        self.address: Address = self._server.sockets[0].getsockname()[:2]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> "OddService":
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            begin = await reader.readexactly(len(_PREFACE))
            if begin == _PREFACE:
                await _Http2(self, reader, writer).serve(begin)
            else:
                await self._serve_http1(begin, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _serve_http1(self, begin: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = begin + await reader.readuntil(b"\r\n\r\n")
            begin = b""
            path = head.split(b" ", 2)[1].decode()
            self.begun.append(path)
            match path.split("/")[1]:
                case "cut":
                    writer.write(_HEAD + b"half")
                    await writer.drain()
                    return
                case "cut-head":
                    writer.write(_HEAD)
                    await writer.drain()
                    return
                case "stall":
                    writer.write(_HEAD + b"half")
                    await reader.read()
                    return
                case "hang":
                    await reader.read()
                    return
                case "moved":
                    host = next(line[6:] for line in head.split(b"\r\n") if line.lower().startswith(b"host: "))
                    writer.write(_REDIRECT % host)
                case "flaky" if self.begun.count(path) == 1:
                    return
                case _:
                    writer.write(_WHOLE)
            await writer.drain()


class _Http2:
    """One connection: gRPC as a server of it answers, byte for byte what the path asks for."""

    def __init__(self, service: OddService, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._service, self._reader, self._writer = service, reader, writer
        self._peer = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))

    async def serve(self, begin: bytes) -> None:
        self._peer.initiate_connection()
        data = begin
        paths: dict[int, str] = {}
        while data:
            for event in self._peer.receive_data(data):
                match event:
                    case RequestReceived(stream_id=stream, headers=headers):
                        paths[stream] = dict(headers)[":path"]
                        self._service.begun.append(paths[stream])
                    case DataReceived(flow_controlled_length=length, stream_id=stream):
                        self._peer.acknowledge_received_data(length, stream)
                    case StreamEnded(stream_id=stream):
                        self._answer(stream, paths[stream].split("/")[1])
                    case StreamReset() | ConnectionTerminated():
                        pass
            self._writer.write(self._peer.data_to_send())
            await self._writer.drain()
            data = await self._reader.read(65536)

    def _answer(self, stream: int, what: str) -> None:
        """`grpc-7`: status 7 in the trailers; `head-7`: in the headers, which are all; `none`: no status; `reset`: half."""
        kind, _, status = what.partition("-")
        fields = [(":status", "200"), ("content-type", "application/grpc")]
        if kind == "head":
            self._peer.send_headers(stream, [*fields, ("grpc-status", status)], end_stream=True)
            return
        self._peer.send_headers(stream, fields)
        self._peer.send_data(stream, b"\0\0\0\0\2{}", end_stream=kind == "none")
        if kind == "grpc":
            self._peer.send_headers(stream, [("grpc-status", status)], end_stream=True)
        elif kind == "reset":
            self._peer.reset_stream(stream)
