"""An SQS endpoint that keeps up with any load, counts what it stores, and answers as badly as a test wants.

It knows `SendMessage` and `SendMessageBatch` and nothing else, checks no signature (moto does) and delivers to nobody.
"""

import json
import random
import ssl
from collections import Counter
from collections.abc import Callable
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

    @property
    def is_batch(self) -> bool:
        return "Entries" in self.fields

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The messages, each with the id of its entry; that of a message that is alone is empty."""
        return self.fields["Entries"] if self.is_batch else [{"Id": "", **self.fields}]

    @cached_property
    def message(self) -> dict[str, Any]:
        return json.loads(self.fields["MessageBody"])

    @property
    def attributes(self) -> dict[str, str]:
        return attributes_of(self.fields)


def attributes_of(entry: dict[str, Any]) -> dict[str, str]:
    return {name: value["StringValue"] for name, value in entry["MessageAttributes"].items()}


def acknowledge(request: SqsRequest) -> Answer:
    return partly({})(request)


def partly(refused: dict[str, tuple[str, bool]]) -> Answers:
    """Refuses the entries of these ids, with a code and whether it is the sender's fault, and takes the others."""

    def answer(request: SqsRequest) -> Answer:
        taken = [entry for entry in request.entries if entry["Id"] not in refused]
        if not request.is_batch:
            return Answer(200, json.dumps(stored_reply(request.fields)).encode(), stored=frozenset([""]))
        failed = [{"Id": entry, "Code": code, "SenderFault": fault} for entry, (code, fault) in refused.items()]
        reply = {"Successful": [{"Id": entry["Id"], **stored_reply(entry)} for entry in taken], "Failed": failed}
        return Answer(200, json.dumps(reply).encode(), stored=frozenset(entry["Id"] for entry in taken))

    return answer


def stored_reply(entry: dict[str, Any]) -> dict[str, str]:
    body = entry.get("MessageBody", "")
    return {"MessageId": str(uuid4()), "MD5OfMessageBody": md5(body.encode()).hexdigest()}


def odd(status: int = 200, **fields: str) -> Answers:
    """A reply that looks like one of messages that are stored, and of which none is."""

    def answer(request: SqsRequest) -> Answer:
        reply = json.loads(acknowledge(request).body)
        if "__type" in fields or not request.is_batch:
            reply |= fields
        else:
            reply["Successful"] = [entry | fields for entry in reply["Successful"]]
        return Answer(status, json.dumps(reply).encode())

    return answer


def swapped(change: Callable[[list[str]], list[str]]) -> Answers:
    """A reply to a batch whose members have other ids; an error to a message that is alone."""

    def answer(request: SqsRequest) -> Answer:
        if not request.is_batch:
            return error(500)(request)
        reply = json.loads(acknowledge(request).body)
        sent = [entry["Id"] for entry in reply["Successful"]]
        ids = change(sent)
        reply["Successful"] = [entry | {"Id": id_} for entry, id_ in zip(reply["Successful"], ids, strict=True)]
        # What the reply says without a doubt is so.
        kept = {id_ for id_, other in zip(sent, ids, strict=True) if id_ == other and ids.count(id_) == 1}
        return Answer(200, json.dumps(reply).encode(), stored=frozenset(kept if set(ids) <= set(sent) else ()))

    return answer


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
    "an entry of no batch": swapped(lambda ids: ["99", *ids[1:]]),
    "entries of each other": swapped(lambda ids: [*ids[1:], *ids[:1]]),
    "one entry twice": swapped(lambda ids: [*ids[:-1], *ids[:1]]),
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

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
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
        for entry in request.entries:
            if entry.get("Id") in answer.stored:
                attributes = attributes_of(entry)
                self.message_ids[attributes.get("sender_id", attributes["id"])] += 1
        return answer
