"""What arrives at an SNS endpoint: a signed form with one or more events in it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

# Under load, decoding every message would make the sink the slowest part; these are looked for in the form as it came,
# where a quote, a colon and an equals sign are %22, %3A and %3D.
_EVENT_ID = b"%22event_id%22%3A%22"
_MARK = re.compile(rb"mark%3D(\d+)")

# Id of the only entry of a Publish call, which has none of its own.
SINGLE = ""


@dataclass(frozen=True)
class EntrySummary:
    """What a load test counts."""

    entry_id: str
    event_id: str
    mark: int | None
    """The number that the load generator put into the query of the request."""


@dataclass(frozen=True)
class Entry:
    """One event, decoded."""

    entry_id: str
    message: str
    attributes: dict[str, tuple[str, str]]
    """Name to type and value."""
    parameters: dict[str, str]
    """The rest: Subject, MessageGroupId, MessageDeduplicationId."""

    @cached_property
    def event(self) -> dict[str, Any]:
        return json.loads(self.message)

    @property
    def size(self) -> int:
        """What SNS counts against its limit: the message, and name, type and value of the attributes."""
        texts = [self.message, *self.attributes, *(text for pair in self.attributes.values() for text in pair)]
        return sum(len(text.encode()) for text in texts)


@dataclass(frozen=True)
class SnsRequest:
    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @cached_property
    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True))

    @property
    def is_batch(self) -> bool:
        return b"Action=PublishBatch" in self.body

    @cached_property
    def summaries(self) -> list[EntrySummary]:
        if not self.is_batch:
            _, message = next(self._fields(b"Message="))
            return [_summary(SINGLE, message)]
        ids = {member: unquote_plus(value.decode()) for member, value in self._fields(b".Id=")}
        return [_summary(ids[member], message) for member, message in self._fields(b".Message=")]

    def _fields(self, name_end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The form's fields whose names end so, each as what comes before that in its name, and its value."""
        position = 0
        while (at := self.body.find(name_end, position)) >= 0:
            start = self.body.rfind(b"&", 0, at) + 1
            end = self.body.find(b"&", at)
            position = end if end >= 0 else len(self.body)
            yield self.body[start:at], self.body[at + len(name_end) : position]

    @cached_property
    def entries(self) -> list[Entry]:
        members: dict[str, dict[str, str]] = {}
        for name, value in self.parameters.items():
            if match := re.fullmatch(r"PublishBatchRequestEntries\.member\.(\d+)\.(.*)", name):
                members.setdefault(match[1], {})[match[2]] = value
        if not self.is_batch:
            members = {"1": {**self.parameters, "Id": SINGLE}}
        return [self._entry(fields) for fields in members.values()]

    @staticmethod
    def _entry(fields: dict[str, str]) -> Entry:
        attributes: dict[str, dict[str, str]] = {}
        rest = {}
        for name, value in fields.items():
            if match := re.fullmatch(r"MessageAttributes\.entry\.(\d+)\.(.*)", name):
                attributes.setdefault(match[1], {})[match[2]] = value
            elif name not in ("Id", "Message"):
                rest[name] = value
        by_name = {each["Name"]: (each["Value.DataType"], each["Value.StringValue"]) for each in attributes.values()}
        return Entry(fields["Id"], fields["Message"], by_name, rest)


def _summary(entry_id: str, message: bytes) -> EntrySummary:
    at = message.find(_EVENT_ID) + len(_EVENT_ID)
    mark = _MARK.search(message)
    return EntrySummary(entry_id, message[at : message.find(b"%", at)].decode(), int(mark[1]) if mark else None)
