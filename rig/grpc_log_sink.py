"""Takes Envoy's access log over gRPC and keeps nothing of it: what a service that collects logs is to Envoy."""

import asyncio
import sys
from pathlib import Path
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived

from . import LOOPBACK
from .http import Address
from .process import ServerProcess

_WINDOW = 1 << 24


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._http = H2Connection(H2Configuration(client_side=False))
        self._http.initiate_connection()
        self._http.increment_flow_control_window(_WINDOW)
        self._transport.write(self._http.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self._http.receive_data(data):
            match event:
                case RequestReceived(stream_id=stream):
                    # The stream stays open: Envoy writes to it for as long as it lives.
                    self._http.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
                case DataReceived(stream_id=stream, flow_controlled_length=length):
                    self._http.acknowledge_received_data(length, stream)
        self._transport.write(self._http.data_to_send())


class GrpcLogSink(ServerProcess):
    """Ready when constructed."""

    def __init__(self, log: Path):
        super().__init__([sys.executable, "-m", "rig.grpc_log_sink"], log, {"PYTHONPATH": str(Path(__file__).parents[1])})
        self.address: Address = (LOOPBACK, int(self.wait_for_log(r"listening at (\d+)")[1]))


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, LOOPBACK, 0)
    print("listening at", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
