"""A table of every known sender, every form of signatures and providers without a scheme, through one real Envoy: right, wrong, sent
again, late, early, with two signatures, and with a secret that is rotated.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rig import PROJECT
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.forms import ED25519, FORMS, UNNAMED
from rig.gateway import ANY_CREDENTIALS, wasm_path
from rig.http import exchange_raw
from rig.signers import FORM, SENDERS, TARGET, Delivery, Sender, standard_webhooks, standard_webhooks_v1a
from rig.sqs_sink import SqsSink

SVIX = {"svix": standard_webhooks("svix"), "standard-webhooks-v1a": standard_webhooks_v1a()}
OTHERS = {name: (sender, {"scheme": "standard-webhooks"}) for name, sender in SVIX.items()} | {
    name: (sender, sender.verify) for name, sender in (FORMS | UNNAMED | {"general-ed25519": ED25519}).items()
}
ALL: dict[str, tuple[Sender, dict[str, Any]]] = {
    name: (sender, {"scheme": name, **sender.verify}) for name, sender in SENDERS.items()
} | OTHERS
REJECTED = ("discord", "xero")
BODY = b'{"id":"evt_1","type":"event","n":1.50}'
PAGE = (PROJECT / "docs" / "signatures.md").read_text()

Lines = list[tuple[str, str]]


@pytest.fixture(scope="module")
def queue() -> Iterator[SqsSink]:
    with SqsSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def gateways(queue: SqsSink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Envoy]]:
    """While secrets are rotated both are good; afterwards only the second."""
    with ExitStack() as running:
        envoys = []
        for first in (0, 1):
            config = EnvoyConfig("capture", wasm_path())
            config.aim_queue(queue.address, queue.url)
            config.verify_each(
                {name: {"secrets": [*map(sender.public, sender.secrets[first:])], **verify} for name, (sender, verify) in ALL.items()}
            )
            config.configure(timeout_ms=5000)
            path = config.write(tmp_path_factory.mktemp(f"every-way-{first}") / "envoy.yaml")
            envoys.append(running.enter_context(Envoy(path, ANY_CREDENTIALS.environment())))
        yield envoys
        for envoy in envoys:
            envoy.assert_no_trap()


class Wire:
    """The way of the webhooks of one sender to a gateway."""

    def __init__(self, name: str, queue: SqsSink):
        self.sender, _ = ALL[name]
        self.name, self.queue, self.target, self.ids = name, queue, f"/webhook/{name}?a=b%20c", []
        self.now = int(time.time())

    def signed(self, secret: str, at: int = 0) -> tuple[Lines, bytes]:
        headers, body = self.sender.request(secret, Delivery(self.target, BODY, self.now + at))
        id_header = {self.sender.delivery_id: "delivery-1"} if self.sender.delivery_id not in ("", "signed") else {}
        return [*headers.items(), *id_header.items()], body

    def is_verified(self, envoy: Envoy, lines: Lines, body: bytes) -> bool:
        """What the message says, or that there is none."""
        self.queue.requests.clear()
        target = dict(lines).get(TARGET, self.target)
        head = [f"POST {target} HTTP/1.1", "host: hooks.example.com", f"content-length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in lines if name != TARGET]
        reply = exchange_raw(envoy.address_of(), "\r\n".join(head).encode() + b"\r\n\r\n" + body)
        assert reply is not None
        if self.name in REJECTED and reply.status == 401:
            assert not self.queue.requests
            return False
        assert reply.status == 200 and len(self.queue.requests) == 1, (reply, envoy.log()[-2000:])
        message = self.queue.requests[0].message
        self.ids.append(message["id"])
        assert message["verified"] or self.name not in REJECTED
        return bool(message["verified"])


def both(first: Lines, second: Lines, separator: str) -> list[Lines]:
    """Both signatures in one webhook: in a line each, and in one line where there may be several in it."""
    lines, joined = [], []
    for (name, one), (_, other) in zip(first, second, strict=True):
        if one == other:
            lines.append((name, one))
            joined.append((name, one))
        else:
            lines += [(name, one), (name, other)]
            joined.append((name, one + separator + other))
    return [lines, joined] if separator else [lines]


def covered(lines: Lines) -> Lines:
    """The headers that are signed themselves, besides the signature."""
    return [(name, value) for name, value in lines if re.search("timestamp$|-at$|^(webhook|svix|twitch-eventsub-message)-id$", name)]


@pytest.mark.parametrize("name", ALL)
def test_every_sender_in_every_way(gateways: list[Envoy], queue: SqsSink, name: str) -> None:
    before, after = gateways
    wire = Wire(name, queue)
    sender = wire.sender
    old, new = (wire.signed(secret) for secret in sender.secrets)
    found: dict[str, object] = {}

    found["again"] = [wire.is_verified(before, *new) for _ in range(2)]
    found["ids"] = len(set(wire.ids))
    found["rotated"] = [wire.is_verified(envoy, *request) for envoy in (before, after) for request in (old, new)]
    wrong = wire.signed(sender.another)
    found["wrong"] = wire.is_verified(before, *wrong)
    found["unsigned"] = wire.is_verified(before, [new[0][0]], b"{}")
    found["late and early"] = [wire.is_verified(before, *wire.signed(sender.secrets[0], at)) for at in (-sender.tolerance - 100, sender.tolerance + 100)]
    expected = {
        "again": [True, True],
        # A second message, and the same delivery where the sender has an id for it.
        "ids": 1 if sender.delivery_id else 2,
        "rotated": [True, True, False, True],
        "wrong": False,
        "unsigned": False,
        "late and early": [not sender.timed] * 2,
    }
    good, bad = new[0], wrong[0]
    if good == bad:
        # The signature stands in the body: readers would not agree on which of two counts.
        (first, *_), body = new[1].decode()[1:].split(","), new[1].decode()
        twice = "{" + first + "," + body[1:]
        if dict(good)["content-type"] == FORM:
            twice = body + "&" + next(field for field in body.split("&") if re.match("token|bt_payload", field))
        found["twice"] = [wire.is_verified(before, good, twice.encode())]
        expected["twice"] = [False]
    elif TARGET in dict(good):
        pairs = [[(TARGET, dict(one)[TARGET] + "&" + dict(other)[TARGET].rpartition("&")[2])] for one, other in ((good, bad), (bad, good))]
        found["two signatures"] = [wire.is_verified(before, lines, new[1]) for lines in pairs]
        # As with the names of parameters in general, the first one counts.
        expected["two signatures"] = [True, False]
    else:
        pairs = both(bad, good, sender.separator) + both(good, bad, sender.separator)
        found["two signatures"] = [wire.is_verified(before, lines, new[1]) for lines in pairs]
        # Envoy makes one line of two of `authorization`, which is no password.
        expected["two signatures"] = ["authorization" not in dict(good)] * len(pairs)
    found["signed header twice"] = [wire.is_verified(before, [*good, line], new[1]) for line in covered(good)]
    expected["signed header twice"] = [False] * len(covered(good))
    assert found == expected


def test_the_page_says_which_senders_sign_a_time_and_which_providers_have_no_scheme() -> None:
    table = PAGE.split("## Known senders")[1].split("\n\n")[1]
    rows = {
        scheme: columns[3].strip() != ""
        for columns in (line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| `") and "`scheme`" not in line)
        for scheme in re.findall("`([a-z-]+)`", columns[0])
    }
    assert rows == {name: sender.timed for name, sender in SENDERS.items()}
    for sender in UNNAMED.values():
        for key in ("header", "body", "query", "form"):
            assert key not in sender.verify or json.dumps(sender.verify[key]).strip('"') in PAGE
