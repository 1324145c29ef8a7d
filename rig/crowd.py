"""A crowd of webhook senders, in a process of its own: so many at once, each with one webhook after the other, some of whom hang
up.

It knows exactly which webhooks were answered, and how. What is sent is a function of the path and the webhook's number, which is
named as `module:function`, because the senders are another process.
"""

import importlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from select import epoll
from typing import Any

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

    def __init__(
        self,
        address: Address,
        path: str,
        count: int,
        senders: int,
        hang_ups: float = 0.0,
        requests: str = "rig.crowd:numbered",
        first: int = 0,
    ):
        arguments = [address[0], address[1], path, count, senders, hang_ups, requests, first]
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


def run_crowd(address: Address, path: str, count: int, senders: int, hang_ups: float = 0.0, **more: Any) -> Crowd:
    return CrowdProcess(address, path, count, senders, hang_ups, **more).result()


def numbered(path: str, number: int) -> bytes:
    """One with its number in the header `webhook-id`."""
    body = json.dumps({"type": "payment.succeeded", "padding": "x" * (BODY_BYTES - 45)})
    head = f"POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}webhook-id: w-{number}\r\n\r\n{body}".encode()


class _Sender(Connection):
    number = 0

    def hang_up(self) -> None:
        assert self._socket
        self._poller.unregister(self._socket)
        self._socket.close()
        self._socket, self._buffer, self.awaits_response = None, b"", False


def _drive(
    address: Address, request_of: Callable[[int], bytes], count: int, senders: int, hang_ups: float, first: int
) -> Crowd:
    poller, dice = epoll(), random.Random(7 + first)
    idle = [_Sender(address, poller) for _ in range(senders)]
    by_descriptor: dict[int, _Sender] = {}
    answers: dict[int, list[int]] = {}
    hung_up: list[int] = []
    latencies: list[float] = []
    sent = settled = 0
    start = time.perf_counter()
    while settled < count:
        while idle and sent < count:
            sender = idle.pop()
            sender.number = first + sent
            request = request_of(sender.number)
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
    host, port, path, count, senders, hang_ups, requests, first = sys.argv[1:]
    module, name = requests.split(":")
    request_of = partial(getattr(importlib.import_module(module), name), path)
    crowd = _drive((host, int(port)), request_of, int(count), int(senders), float(hang_ups), int(first))
    print(json.dumps(crowd.__dict__))
