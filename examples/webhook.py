"""A captured webhook, as the gateway puts it into the message of a queue."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


def _integer(digits: str) -> int | Decimal:
    """Python makes no int of more than 4300 digits, and a sender may not make a webhook unreadable with one."""
    return int(digits) if len(digits) < 4300 else Decimal(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)


@dataclass(frozen=True)
class Webhook:
    # The same for every delivery of the same webhook.
    id: str
    # The JSON value, or the text, or the bytes of what is neither. An integer of thousands of digits is a Decimal.
    body: Any
    # What the sender signed, byte for byte.
    raw_body: bytes
    # A header that came several times has a list.
    headers: dict[str, str | list[str]]
    path: str
    query: str
    received_at: str
    # None where the gateway checks no signatures.
    verified: bool | None
    verify_error: str | None


def webhook_of(message_body: str) -> Webhook:
    """Raises a ValueError if that is no captured webhook."""
    try:
        members = {name: (value, raw) for name, value, raw in _members(message_body)}
        document = {name: value for name, (value, _) in members.items()}
        body, raw_body = _body(document["body"], members["body"][1], document.get("encoding"))
        return Webhook(
            id=document["id"],
            body=body,
            raw_body=raw_body,
            headers=document["headers"],
            path=document["path"],
            query=document.get("query", ""),
            received_at=document["received_at"],
            verified=document.get("verified"),
            verify_error=document.get("verify_error"),
        )
    except (KeyError, TypeError, IndexError) as fault:
        raise ValueError(f"not a captured webhook: {fault!r}") from fault


def _body(value: Any, raw: str, encoding: str | None) -> tuple[Any, bytes]:
    if encoding == "base64":
        decoded = base64.b64decode(value, validate=True)
        return decoded, decoded
    if encoding is not None:
        raise ValueError(f"an encoding that is not known: {encoding!r}")
    if isinstance(value, str):
        return value, value.encode()
    return value, raw.encode()


def _members(text: str) -> Iterator[tuple[str, Any, str]]:
    """Name, value and text of each member of a JSON object: the JSON of a sender, read and written again, has other bytes."""
    index = _after_space(text, 0)
    if text[index] != "{":
        raise ValueError("not a JSON object")
    index = _after_space(text, index + 1)
    while text[index] != "}":
        name, index = _DECODER.raw_decode(text, index)
        index = _after_space(text, index)
        if text[index] != ":":
            raise ValueError("not a JSON object")
        start = index + 1
        value, index = _DECODER.raw_decode(text, _after_space(text, start))
        index = _after_space(text, index)
        yield name, value, text[start:index]
        if text[index] == ",":
            index = _after_space(text, index + 1)


def _after_space(text: str, index: int) -> int:
    while text[index] in " \t\r\n":
        index += 1
    return index
