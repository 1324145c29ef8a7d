"""A wire to a real SQS on which calls fail in every way that an endpoint has.

What a fault stores, SQS has stored; the answer to that is SQS's own, late or cut off as the fault has it. Everything else never
gets there.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from .http import Address
from .sns_answers import Answer, Answers
from .sqs_sink import SqsRequest, SqsSink


class FaultyWire(SqsSink):
    """Ready when constructed."""

    def __init__(self, to: Address, answers: Answers):
        super().__init__()
        self.answers = answers
        self._to = to
        self.fault_count = 0
        self.hit_count = 0
        """Messages in the calls that failed."""
        self._forwarding: set[asyncio.Task[None]] = set()

    def deliver(self, request: SqsRequest, answer: Answer, reply: Callable[[Answer], None]) -> None:
        if answer.cut_at is not None or answer.delay or not answer.stored:
            self.fault_count += 1
            self.hit_count += len(request.entries)
        if not answer.stored:
            return super().deliver(request, answer, reply)
        task = asyncio.get_running_loop().create_task(self._forward(request, answer, reply))
        self._forwarding.add(task)
        task.add_done_callback(self._forwarding.discard)

    async def _forward(self, request: SqsRequest, answer: Answer, reply: Callable[[Answer], None]) -> None:
        try:
            status, body = await self._ask(request)
        except (OSError, EOFError):
            answer = replace(answer, cut_at=0)
        else:
            answer = replace(answer, status=status, body=body)
        super().deliver(request, answer, reply)

    async def _ask(self, request: SqsRequest) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection(*self._to)
        try:
            head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
            writer.write(f"{request.method} {request.target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + request.body)
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            (length,) = (line.partition(":")[2] for line in lines if line.lower().startswith("content-length:"))
            return int(first.split(" ")[1]), await reader.readexactly(int(length))
        finally:
            writer.close()
