"""An SQS endpoint that keeps up with any load, counts what it stores, and answers as badly as a test wants.

It knows `SendMessage` and nothing else, checks no signature (moto does) and delivers to nobody.
"""

import json
import random
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from hashlib import md5
from typing import Any
from uuid import uuid4

from .sns_answers import Answer, Answers, body, cut, slow
from .sns_sink import SnsSink


@dataclass(frozen=True)
class SqsRequest:
    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @cached_property
    def fields(self) -> dict[str, Any]:
        return json.loads(self.body)

    @cached_property
    def message(self) -> dict[str, Any]:
        return json.loads(self.fields["MessageBody"])

    @property
    def attributes(self) -> dict[str, str]:
        return {name: value["StringValue"] for name, value in self.fields["MessageAttributes"].items()}


def acknowledge(request: SqsRequest) -> Answer:
    return Answer(200, json.dumps(stored_reply(request)).encode(), stored=frozenset([""]))


def stored_reply(request: SqsRequest) -> dict[str, str]:
    body = request.fields.get("MessageBody", "")
    return {"MessageId": str(uuid4()), "MD5OfMessageBody": md5(body.encode()).hexdigest()}


def odd(status: int = 200, **fields: str) -> Answers:
    """A reply that looks like one of a message that is stored, and is not."""
    return lambda request: Answer(status, json.dumps(stored_reply(request) | fields).encode())


def error(status: int, code: str = "InternalError") -> Answers:
    text = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": "as the test asked"}).encode()
    return lambda request: Answer(status, text)


FAULTS: dict[str, Answers] = {
    "empty": body(b""),
    "no id": body(b'{"MD5OfMessageBody": "0"}'),
    "another document": body(b"<html><body>Sign in to the hotel's network</body></html>"),
    "cut JSON": body(b'{"MessageId": "219f8380'),
    "not UTF-8": body(b"\xff\xfe\x00"),
    "201": odd(201),
    "202": odd(202),
    "206": odd(206),
    "an error with a 200": odd(__type="com.amazonaws.sqs#QueueDoesNotExist"),
    "another body": odd(MD5OfMessageBody="0" * 32),
    "other attributes": odd(MD5OfMessageAttributes="0" * 32),
    "a sum that is none": odd(MD5OfMessageBody=""),
    "500": error(500),
    "503 without a body": body(b"", 503),
    "throttled": error(403, "RequestThrottled"),
    "refused for good": error(400, "com.amazonaws.sqs#QueueDoesNotExist"),
    "hung up at once": cut(0, error(500)),
    "cut in the head": cut(20, error(500)),
    "hung up after storing": cut(0, acknowledge),
    "cut in the head after storing": cut(20, acknowledge),
    "cut in the body after storing": cut(110, acknowledge),
    "slow": slow(0.2, acknowledge),
    "too slow": slow(30.0, acknowledge),
}
"""All ways in which an endpoint may fail."""


def at_random(probability: float, seed: int = 1) -> Answers:
    """Fails in one way or another."""
    dice = random.Random(seed)
    faults = list(FAULTS.values())
    return lambda request: (dice.choice(faults) if dice.random() < probability else acknowledge)(request)


class SqsSink(SnsSink):
    """Ready when constructed. `answers` may be replaced at any time."""

    read_request = SqsRequest
    content_type = "application/x-amz-json-1.0"

    def __init__(self) -> None:
        super().__init__()
        self.answers: Answers = acknowledge
        self.message_ids: Counter[str] = Counter()
        """The id of the message, as the webhook's sender knows it, to how many times it was stored."""

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}/123456789012/webhooks"

    def answer(self, request: SqsRequest) -> Answer:
        self.request_count += 1
        if "x-amz-target" not in request.headers:
            # Not of the filter: what is proxied here for comparison.
            return acknowledge(request)
        self.requests.append(request)
        answer = self.answers(request)
        if answer.stored:
            self.message_ids[request.attributes.get("sender_id", request.attributes["id"])] += 1
        return answer
