"""A crowd of webhook senders, in a process of its own: so many at once, each with one webhook after the other, some of whom hang
up.

It knows exactly which webhooks were answered, and how. Every webhook has its number in the header `webhook-id`.
"""

import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from select import epoll

from .http import Address
from .load import Connection

BODY_BYTES = 1024


@dataclass(frozen=True)
class Crowd:
    answers: dict[int, list[int]]
    """Status to the numbers of the webhooks that were answered so; 0 for those whose connection ended before."""
    hung_up: list[int]
    seconds: float
    median_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return sum(map(len, self.answers.values())) / self.seconds


class CrowdProcess:
    """Running when constructed."""

    def __init__(self, address: Address, path: str, count: int, senders: int, hang_ups: float = 0.0):
        arguments = [address[0], address[1], path, count, senders, hang_ups]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rig.crowd", *map(str, arguments)],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(Path(__file__).parents[1])},
        )

    def result(self) -> Crowd:
        """Waits for the end."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise AssertionError(f"the senders ended with {self._process.returncode}")
        fields = json.loads(output)
        return Crowd(**{**fields, "answers": {int(key): value for key, value in fields["answers"].items()}})


def run_crowd(address: Address, path: str, count: int, senders: int, hang_ups: float = 0.0) -> Crowd:
    return CrowdProcess(address, path, count, senders, hang_ups).result()


class _Sender(Connection):
    number = 0

    def hang_up(self) -> None:
        assert self._socket
        self._poller.unregister(self._socket)
        self._socket.close()
        self._socket, self._buffer, self.awaits_response = None, b"", False


def _drive(address: Address, path: str, count: int, senders: int, hang_ups: float) -> Crowd:
    poller, dice = epoll(), random.Random(7)
    idle = [_Sender(address, poller) for _ in range(senders)]
    by_descriptor: dict[int, _Sender] = {}
    answers: dict[int, list[int]] = {}
    hung_up: list[int] = []
    latencies: list[float] = []
    body = json.dumps({"type": "payment.succeeded", "padding": "x" * (BODY_BYTES - 45)})
    head = f"POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    sent = settled = 0
    start = time.perf_counter()
    while settled < count:
        while idle and sent < count:
            sender = idle.pop()
            sender.number = sent
            request = f"{head}webhook-id: w-{sent}\r\n\r\n{body}".encode()
            sent += 1
            if dice.random() >= hang_ups:
                by_descriptor[sender.send(request)] = sender
                continue
            # In the head, in the body, or when all is sent.
            sender.send(request[: dice.choice((40, len(request) // 2, len(request)))])
            time.sleep(dice.choice((0, 0.0005)))
            sender.hang_up()
            hung_up.append(sender.number)
            settled += 1
            idle.append(sender)
        for descriptor, _ in poller.poll(1.0):
            sender = by_descriptor[descriptor]
            status = sender.receive()
            if status is not None:
                answers.setdefault(status, []).append(sender.number)
                latencies.append(time.perf_counter() - sender.sent_at)
                settled += 1
                idle.append(sender)
    seconds = time.perf_counter() - start
    latencies.sort()
    in_ms = [latencies[int(len(latencies) * share)] * 1000 for share in (0.5, 0.99)]
    return Crowd(answers, hung_up, seconds, *in_ms)


if __name__ == "__main__":
    host, port, path, count, senders, hang_ups = sys.argv[1:]
    print(json.dumps(_drive((host, int(port)), path, int(count), int(senders), float(hang_ups)).__dict__))
