"""Webhooks by the thousand, by their numbers: half of them in groups of four that share a sender's id, or all that an id could be
made of, and are four deliveries all the same; among the others are true retries.

Every delivery has its mark in the header `x-mark`, which no id is made of, and in its body where the body may differ.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .senders import Sent, github, stripe, svix, verify

QUEUES = ("standard", "fifo")

# `None` checks nothing.
SCHEMES = (None, "github", "stripe", "standard-webhooks")

_GROUP = 4
_PADDING = "x" * 300


@dataclass(frozen=True)
class Lookalike:
    mark: str
    queue: str
    verified: bool | None
    sent: Sent

    @property
    def body_sha256(self) -> str:
        return hashlib.sha256(self.sent.body.encode()).hexdigest()


def captures(queue: str, **settings: Any) -> list[dict[str, Any]]:
    """The captures that take what goes to one of the queues."""
    return [
        {"method": "POST", "matcher": f"^{_path(queue, scheme)}", **settings, **({"verify": verify(scheme)} if scheme else {})}
        for scheme in SCHEMES
    ]


def webhook(number: int) -> Lookalike:
    """The webhook of this number, signed now."""
    group, place = divmod(number, _GROUP)
    queue = QUEUES[group // 2 % 2]
    # The path is the group in the FIFO queue: there are several, and none is of one webhook.
    if group % 2 == 0:
        # The last one is a second try of the one before it.
        number -= place == _GROUP - 1
        scheme, sent = None, Sent(f"{_path(queue, None)}{group % 64}/", [("idempotency-key", f"k-{number}")], _body(number))
    else:
        scheme, make = _KINDS[group // 4 % len(_KINDS)]
        sent = make(f"{_path(queue, scheme)}{group % 64}/", f"id-{group}", place, number)
    is_forged = scheme is not None and not any(name.endswith(("signature", "signature-256")) for name, _ in sent.headers)
    verified = None if scheme is None else not is_forged
    json = ("content-type", "application/json")
    return Lookalike(f"m-{number}", queue, verified, sent.without("content-type").adding(("x-mark", f"m-{number}"), json))


def request(_: str, number: int) -> bytes:
    """For a crowd to send."""
    return webhook(number).sent.request()


def _path(queue: str, scheme: str | None) -> str:
    return f"/webhook/{queue}/{scheme or 'unchecked'}/"


def _body(mark: int | str) -> str:
    return f'{{"mark":"{mark}","padding":"{_PADDING}"}}'


def _event(event_id: str, mark: int | str) -> str:
    return f'{{"id":"{event_id}","object":"event","mark":"{mark}","padding":"{_PADDING}"}}'


Make = Callable[[str, str, int, int], Sent]
"""Path, the id of the group, place in the group and number to one of the four."""


def _hooks(path: str, shared: str, place: int, number: int) -> Sent:
    """Two bodies of one hook, and two hooks with one body."""
    return github(shared, _body(number), "1", path) if place < 2 else github(shared, _body(shared), str(place), path)


def _forged_hooks(path: str, shared: str, place: int, number: int) -> Sent:
    """A forged one and the genuine one that it tells of, one that was signed long ago, and another forged one."""
    genuine = github(shared, _body(shared if place < 2 else number), "1", path)
    return genuine if place in (1, 2) else genuine.without("x-hub-signature-256")


def _keys(path: str, shared: str, place: int, number: int) -> Sent:
    """One body on two paths, and two bodies on one."""
    body = _body(shared if place < 2 else number)
    return Sent(f"{path}{'a' if place == 0 else 'b'}", [("idempotency-key", shared)], body)


def _unsigned_ids(path: str, shared: str, place: int, number: int) -> Sent:
    """One id that nobody has signed, in either header."""
    return Sent(path, [("svix-id" if place % 2 else "webhook-id", shared)], _body(number))


def _cloud_events(path: str, shared: str, place: int, number: int) -> Sent:
    """One body from two sources, and two bodies from one."""
    source = ("ce-source", "/a" if place == 0 else "/b")
    return Sent(path, [("ce-id", shared), source], _body(shared if place < 2 else number))


def _endpoints(path: str, shared: str, place: int, _: int) -> Sent:
    """One event to four endpoints of Stripe."""
    return stripe(f"{path}{place}", _event(f"evt_{shared}", shared))


def _unsigned_events(path: str, shared: str, place: int, number: int) -> Sent:
    """One event of Stripe, or so they say."""
    return Sent(path, [("stripe-signature", f"t=1,v1={place:064}")], _event(f"evt_{shared}", number))


def _signed_ids(path: str, shared: str, place: int, number: int) -> Sent:
    """One that is signed, the same id elsewhere, another one's with this id beside it, and a forged one."""
    if place == 3:
        return svix(shared, _body(number), path).without("svix-signature")
    if place == 2:
        return svix(f"{shared}-2", _body(number), path).adding(("webhook-id", shared))
    return svix(shared, _body(shared), f"{path}{'a' if place else 'b'}")


def _same_bytes(path: str, shared: str, _: int, __: int) -> Sent:
    """No id at all."""
    return Sent(path, [], _body(shared))


_KINDS: list[tuple[str | None, Make]] = [
    ("github", _hooks),
    ("github", _forged_hooks),
    (None, _keys),
    (None, _unsigned_ids),
    (None, _cloud_events),
    ("stripe", _endpoints),
    (None, _unsigned_events),
    ("standard-webhooks", _signed_ids),
    (None, _same_bytes),
]
