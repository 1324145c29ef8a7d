"""What arrives at an SNS endpoint: a signed form with one or more events in it."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

# Under load, decoding every message would make the sink the slowest part; these find what is counted in the form as it
# came. A quote, a colon and an equals sign are %22, %3A and %3D there.
_BATCH_IDS = re.compile(rb"(?:^|&)PublishBatchRequestEntries\.member\.(\d+)\.Id=([^&]*)")
_BATCH_MESSAGES = re.compile(rb"(?:^|&)PublishBatchRequestEntries\.member\.(\d+)\.Message=([^&]*)")
_SINGLE_MESSAGE = re.compile(rb"(?:^|&)Message=([^&]*)")
_EVENT_ID = re.compile(rb"%22event_id%22%3A%22([^%]+)%22")
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
        if self.is_batch:
            ids = {number: unquote_plus(entry_id.decode()) for number, entry_id in _BATCH_IDS.findall(self.body)}
            messages = dict(_BATCH_MESSAGES.findall(self.body))
        else:
            ids = {b"1": SINGLE}
            messages = dict.fromkeys([b"1"], _SINGLE_MESSAGE.search(self.body)[1])
        return [self._summary(ids[number], message) for number, message in messages.items()]

    @staticmethod
    def _summary(entry_id: str, message: bytes) -> EntrySummary:
        event_id, mark = _EVENT_ID.search(message), _MARK.search(message)
        return EntrySummary(entry_id, event_id[1].decode() if event_id else "", int(mark[1]) if mark else None)

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
