"""How an SNS endpoint may answer: as it should, and in every way in which it should not.

An answer is a function of the request, so that a fault is one function and faults combine: `first(3, error(500))`.
"""

import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from uuid import uuid4
from xml.sax.saxutils import escape

from .sns_request import SINGLE, SnsRequest
from .waiting import PATIENCE

_NAMESPACE = 'xmlns="http://sns.amazonaws.com/doc/2010-03-31/"'
_METADATA = "<ResponseMetadata><RequestId>00000000-0000-0000-0000-000000000000</RequestId></ResponseMetadata>"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    stored: frozenset[str] = frozenset()
    """Ids of the entries that SNS now has, whatever the client learns of it."""
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0
    cut_at: int | None = None
    """Hang up after so many bytes of the reply, head included."""
    reset: bool = False
    """Hang up by a reset."""
    copies: int = 1
    """How many times the reply is sent."""


Answers = Callable[[SnsRequest], Answer]


def _success(request: SnsRequest, failed: dict[str, str]) -> Answer:
    """`failed`: entry id to error code."""
    ids = [summary.entry_id for summary in request.summaries]
    stored = frozenset(ids) - failed.keys()
    if not request.is_batch:
        text = (
            f"<PublishResponse {_NAMESPACE}><PublishResult><MessageId>{uuid4()}</MessageId></PublishResult>"
            f"{_METADATA}</PublishResponse>"
        )
        return Answer(200, text.encode(), stored)
    successful = "".join(
        f"<member><Id>{escape(each)}</Id><MessageId>{uuid4()}</MessageId></member>" for each in ids if each in stored
    )
    refused = "".join(
        f"<member><Id>{escape(each)}</Id><Code>{code}</Code><Message>as the test asked</Message>"
        f"<SenderFault>{'false' if code.startswith('Internal') else 'true'}</SenderFault></member>"
        for each, code in failed.items()
    )
    text = (
        f"<PublishBatchResponse {_NAMESPACE}><PublishBatchResult><Failed>{refused}</Failed>"
        f"<Successful>{successful}</Successful></PublishBatchResult>{_METADATA}</PublishBatchResponse>"
    )
    return Answer(200, text.encode(), stored)


def acknowledge(request: SnsRequest) -> Answer:
    return _success(request, {})


def partial_failure(is_refused: Callable[[str], bool], code: str = "InternalError") -> Answers:
    """Refuses the entries of a batch whose event id is chosen by `is_refused`; a batch of 200 with `Failed` members."""

    def answer(request: SnsRequest) -> Answer:
        failed = {each.entry_id: code for each in request.summaries if is_refused(each.event_id)}
        if SINGLE in failed:
            return error(500, code)(request)
        return _success(request, failed)

    return answer


def error(status: int, code: str = "InternalError", headers: tuple[tuple[str, str], ...] = ()) -> Answers:
    kind = "Sender" if 400 <= status < 500 else "Receiver"
    text = (
        f"<ErrorResponse {_NAMESPACE}><Error><Type>{kind}</Type><Code>{code}</Code><Message>as the test asked</Message>"
        f"</Error><RequestId>00000000-0000-0000-0000-000000000000</RequestId></ErrorResponse>"
    )
    return lambda request: Answer(status, text.encode(), headers=headers)


def body(content: bytes, status: int = 200) -> Answers:
    """A reply that SNS would never make; nothing is stored."""
    return lambda request: Answer(status, content)


def cut(at: int, answers: Answers = acknowledge) -> Answers:
    """Does its work, but hangs up before all of the reply is out."""
    return lambda request: replace(answers(request), cut_at=at)


def reset(at: int, answers: Answers = acknowledge) -> Answers:
    """The same, and the connection is torn down."""
    return lambda request: replace(answers(request), cut_at=at, reset=True)


def twice(answers: Answers = acknowledge) -> Answers:
    """Sends its reply once more than it was asked to."""
    return lambda request: replace(answers(request), copies=2)


def slow(delay: float, answers: Answers = acknowledge) -> Answers:
    return lambda request: replace(answers(request), delay=delay)


def held(gate: threading.Event, answers: Answers = acknowledge) -> Answers:
    """Answers nobody before `gate` is set."""

    def answer(request: SnsRequest) -> Answer:
        # The sink's own thread waits here, so that it must not be for ever.
        gate.wait(PATIENCE)
        return answers(request)

    return answer


def in_turn(answers: Iterable[Answers], then: Answers = acknowledge) -> Answers:
    """One after the other, and `then` for ever."""
    remaining = iter(answers)
    return lambda request: next(remaining, then)(request)


def first(count: int, answers: Answers, then: Answers = acknowledge) -> Answers:
    return in_turn([answers] * count, then)


def at_random(probability: float, answers: Answers, otherwise: Answers = acknowledge, seed: int = 1) -> Answers:
    dice = random.Random(seed)
    return lambda request: (answers if dice.random() < probability else otherwise)(request)
