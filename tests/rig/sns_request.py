"""What arrives at an SNS endpoint: a signed form with one or more events in it."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

# Under load, decoding every message would make the sink the slowest part; these are looked for in the form as it came,
# where a quote, a colon and an equals sign are %22, %3A and %3D.
_EVENT_ID = b"%22event_id%22%3A%22"
_MARK = b"mark%3D"

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
        ids: dict[bytes, str] = {}
        messages: dict[bytes, bytes] = {}
        for field in self.body.split(b"&"):
            name, _, value = field.partition(b"=")
            if name.endswith(b".Id"):
                ids[name.removesuffix(b".Id")] = unquote_plus(value.decode())
            elif name.endswith(b".Message"):
                messages[name.removesuffix(b".Message")] = value
            elif name == b"Message":
                ids[name], messages[name] = SINGLE, value
        return [self._summary(ids[member], message) for member, message in messages.items()]

    @staticmethod
    def _summary(entry_id: str, message: bytes) -> EntrySummary:
        _, _, from_id = message.partition(_EVENT_ID)
        _, _, from_mark = message.partition(_MARK)
        mark = re.match(rb"\d+", from_mark)
        return EntrySummary(entry_id, from_id.partition(b"%22")[0].decode(), int(mark[0]) if mark else None)

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
