"""What a captured webhook costs Envoy beside proxying the same request: CPU time of the process, in turns, in one run.

All ways end at the same stand-in for SQS, so that each has one call with the body. One request at a time finds the processor's
caches cold, and several at once keep them warm. The least of several rounds counts: whatever else the machine does can only add to
it. The names of bodies as arguments choose among them.
"""

import http.client
import itertools
import json
import random
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import ANY_CREDENTIALS, wasm_path
from rig.sns_answers import Answer
from rig.sqs_sink import SqsRequest, SqsSink, acknowledge

ROUNDS, BYTES_PER_ROUND, MOST_PER_ROUND = 8, 8 << 20, 800
AT_ONCE = (1, 16)
LARGE = 256 * 1024
PROXY = "proxy"


def like_a_provider(size: int) -> bytes:
    """Objects, numbers and texts as payment providers send them."""
    dice = random.Random(7)
    items = []
    while len(body := json.dumps({"id": "evt_1", "type": "invoice.paid", "data": items}).encode()) < size:
        items += [
            {
                "id": f"il_{dice.getrandbits(64):016x}", "object": "line_item", "amount": dice.randrange(100_000), "currency": "usd",
                "description": "1 × Größe L (at $20.00 / month)", "livemode": True, "plan": None, "quantity": dice.randrange(9),
                "period": {"start": 1_700_000_000 + dice.randrange(10**6), "end": 1_702_592_000},
            }
            for _ in range(max(1, (size - len(body)) // 330))
        ]  # fmt: skip
    # JSON may end in spaces: all bodies have as many bytes as they should.
    return json.dumps({"id": "evt_1", "type": "invoice.paid", "data": items[:-1]}).encode().ljust(size)


BODIES = {
    "1 KB of JSON": (like_a_provider(1024), "application/json"),
    "256 KB of JSON": (like_a_provider(LARGE), "application/json"),
    "256 KB of JSON of empty texts": (b'["' + b'","' * ((LARGE - 4) // 3) + b'"]', "application/json"),
    "256 KB of JSON of backslashes": (b'["' + b"\\" * (LARGE - 4) + b'"]', "application/json"),
    "256 KB of quotes": (b'"' * LARGE, "text/plain"),
    "256 KB of control characters": (b"\1" * LARGE, "text/plain"),
    "256 KB of plain text": (b"All is well. " * (LARGE // 13), "text/plain"),
    "256 KB that are not text": (random.Random(7).randbytes(LARGE), "application/octet-stream"),
}


class Sink(SqsSink):
    """Takes whatever is proxied to it as well, and keeps nothing."""

    def answer(self, request: SqsRequest) -> Answer:
        return acknowledge(request) if "x-amz-target" in request.headers else Answer(200, b"{}")


def cpu_microseconds(pid: int) -> float:
    """All threads' time on a processor, to the nanosecond."""
    return sum(int(task.joinpath("schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e3


def measure(envoy: Envoy, listener: str, body: bytes, content_type: str, at_once: int) -> float:
    """Microseconds for each request, of which so many are under way at once."""
    head = f"POST /webhook HTTP/1.1\r\nhost: gateway\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    turns = min(MOST_PER_ROUND, BYTES_PER_ROUND // len(body)) // at_once
    with ExitStack() as open_:
        senders = [open_.enter_context(socket.create_connection(envoy.address_of(listener))) for _ in range(at_once)]
        before = 0.0
        for turn in range(-2, turns):
            if turn == 0:
                before = cpu_microseconds(envoy.pid)
            for sender in senders:
                sender.sendall(head.encode() + body)
            for sender in senders:
                response = http.client.HTTPResponse(sender)
                response.begin()
                answer = response.read()
                assert response.status == 200, (response.status, answer)
        return (cpu_microseconds(envoy.pid) - before) / (turns * at_once)


def main() -> None:
    wanted = sys.argv[1:] or BODIES
    with tempfile.TemporaryDirectory() as folder, Sink() as sink, ExitStack() as running:

        def start(name: str, change: Callable[[EnvoyConfig, str], None]) -> Envoy:
            config = EnvoyConfig("capture", wasm_path())
            config.aim_queue(sink.address, sink.url)
            change(config, config.settings["capture"][0]["upstream"])
            path = config.write(Path(folder) / f"{name}.yaml")
            return running.enter_context(Envoy(path, ANY_CREDENTIALS.environment()))

        envoy = start("filter-signs", lambda config, cluster: config.add_listener_that_proxies(PROXY, cluster))
        signing = start("envoy-signs", lambda config, cluster: config.let_envoy_sign(cluster, "sqs"))
        ways = {"proxied": (envoy, PROXY), "captured": (envoy, "gateway"), "captured, and Envoy signs": (signing, "gateway")}
        for what, at_once in itertools.product(wanted, AT_ONCE):
            least = dict.fromkeys(ways, float("inf"))
            for _ in range(ROUNDS):
                for way, (measured, listener) in ways.items():
                    least[way] = min(least[way], measure(measured, listener, *BODIES[what], at_once))
            times = [f"{way} {spent:.0f} µs ({spent / least['proxied']:.1f} times)" for way, spent in least.items()]
            print(f"{what}, {at_once} at once: {', '.join(times)}", flush=True)
        envoy.assert_no_trap()


if __name__ == "__main__":
    main()
