"""A captured webhook, as the gateway puts it into the message of a queue."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

# More than any id of the gateway has, and less than a key may have in DynamoDB (2,048 bytes).
_MOST_ID_CHARACTERS = 500


def _integer(digits: str) -> int | Decimal:
    """Python makes no int of more than 4300 digits, and a sender may not make a webhook unreadable with one."""
    return int(digits) if len(digits) < 4300 else Decimal(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)


@dataclass(frozen=True)
class Webhook:
    # The same for every delivery of the same webhook, and of no other: what a handler deduplicates
    # by.
    id: str
    # The JSON value, or the text, or the bytes of what is neither. An integer of thousands of
    # digits is a Decimal.
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
    # The id that the sender gave it, if it gave one; several webhooks may share it.
    sender_id: str | None
    # In hex; None in messages of gateways that do not say it.
    body_sha256: str | None


def webhook_of(message_body: str) -> Webhook:
    """Raises a ValueError if that is no captured webhook."""
    try:
        members = {name: (value, raw) for name, value, raw in _members(message_body)}
        document = {name: value for name, (value, _) in members.items()}
        body, raw_body = _body(document["body"], members["body"][1], document.get("encoding"))
        return Webhook(
            id=_id(document["id"]),
            body=body,
            raw_body=raw_body,
            headers=_of_kind(dict, document["headers"]),
            path=_of_kind(str, document["path"]),
            query=_of_kind(str, document.get("query", "")),
            received_at=_of_kind(str, document["received_at"]),
            # Anything else, such as "false", must not pass for what was checked.
            verified=_of_kind(bool, document["verified"]) if "verified" in document else None,
            verify_error=document.get("verify_error"),
            sender_id=document.get("sender_id"),
            body_sha256=document.get("body_sha256"),
        )
    except (KeyError, TypeError, IndexError, RecursionError) as fault:
        raise ValueError(f"not a captured webhook: {fault!r}") from fault


def _of_kind(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{kind.__name__} expected, {type(value).__name__} found")
    return value


def _id(value: Any) -> str:
    # It is printed, and is a key in databases.
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_ID_CHARACTERS or not value.isprintable():
        raise ValueError("not a captured webhook: no proper id")
    return value


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
    index = _after_space(text, _after(text, index, "{"))
    while text[index] != "}":
        name, index = _DECODER.raw_decode(text, index)
        start = _after(text, _after_space(text, index), ":")
        value, index = _DECODER.raw_decode(text, _after_space(text, start))
        index = _after_space(text, index)
        yield name, value, text[start:index]
        if text[index] != "}":
            index = _after_space(text, _after(text, index, ","))
            if text[index] == "}":
                raise ValueError("not a JSON object")
    if text[index + 1 :].strip(" \t\r\n"):
        raise ValueError("not a JSON object alone")


def _after(text: str, index: int, character: str) -> int:
    if text[index] != character:
        raise ValueError("not a JSON object")
    return index + 1


def _after_space(text: str, index: int) -> int:
    while text[index] in " \t\r\n":
        index += 1
    return index
