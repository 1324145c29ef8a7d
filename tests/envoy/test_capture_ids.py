"""Webhooks that look alike, through real Envoy, SQS and the worker of examples/: different ones are all stored and handled, a true
retry is one, and nobody takes the place of somebody else's.
"""

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rig import PROJECT
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.http import send_raw
from rig.moto import Moto
from rig.senders import ENVIRONMENT, Sent, github, google, stripe, svix, verify
from rig.waiting import wait_for

sys.path.insert(0, str(PROJECT / "examples"))
from webhook import Webhook  # noqa: E402
from webhook_inbox import SqliteInbox  # noqa: E402
from webhook_worker import Worker  # noqa: E402


class Gateway:
    """An Envoy with one capture, its queue, and a worker that handles what is in there."""

    def __init__(
        self,
        moto: Moto,
        wasm: Path,
        start_envoy: Callable[..., Envoy],
        directory: Path,
        fifo: bool,
        capture: dict[str, Any],
        aside: bool,
    ):
        self.moto = moto
        self.queue = moto.create_queue(fifo)
        self.aside = moto.create_queue(fifo)
        config = EnvoyConfig("capture", wasm)
        config.aim_queue(moto.address, self.queue.url)
        upstream = config.settings["capture"][0]["upstream"]
        if aside:
            capture = {**capture, "unverified": {"queue_url": self.aside.url, "region": "us-east-1", "upstream": upstream}}
        if fifo:
            capture = {"message_group_id": "orders", **capture}
        config.configure_capture(matcher="^/webhook", **capture)
        config.configure(credentials=moto.create_user(["sqs:SendMessage"]).settings())
        config.let_through(*ENVIRONMENT)
        self.envoy: Envoy = start_envoy(config, ENVIRONMENT)
        self.handled: list[Webhook] = []
        self.fails = False
        worker_aside = None if aside else self.aside.url
        self.worker = Worker(
            moto.client("sqs"),
            self.queue.url,
            SqliteInbox(str(directory / "inbox")),
            self._handle,
            # One after the other: a second try that comes while the first is handled waits for minutes.
            concurrency=1,
            wait_seconds=0,
            retry_seconds=60,
            unverified_queue_url=worker_aside,
        )
        self._thread = threading.Thread(target=self.worker.run, args=(5,))

    def start_worker(self) -> None:
        self._thread.start()

    def _handle(self, webhook: Webhook) -> None:
        if self.fails:
            raise RuntimeError("as the test asked")
        self.handled.append(webhook)

    def post(self, sent: Sent) -> None:
        assert send_raw(self.envoy.address_of(), sent.request()) == 200

    def wait_until_empty(self) -> None:
        wait_for(lambda: self.moto.messages_left(self.queue) == 0, "all to be handled")

    def stop(self) -> None:
        self.worker.stop()
        if self._thread.is_alive():
            self._thread.join(15)


StartGateway = Callable[..., Gateway]


@pytest.fixture(params=[False, True], ids=["standard", "fifo"])
def start(
    request: pytest.FixtureRequest, moto: Moto, wasm: Path, start_envoy: Callable[..., Envoy], tmp_path: Path
) -> Iterator[StartGateway]:
    with ExitStack() as running:
        count = 0

        def start(aside: bool = False, **capture: Any) -> Gateway:
            nonlocal count
            count += 1
            directory = tmp_path / str(count)
            directory.mkdir()
            gateway = Gateway(moto, wasm, start_envoy, directory, request.param, capture, aside)
            running.callback(gateway.stop)
            return gateway

        yield start


EVENT = '{"id":"evt_1","object":"event"}'


def lookalikes() -> dict[str, tuple[str | None, list[Sent]]]:
    """Signed when they are asked for: a signature is good for five minutes."""
    return {
        "two hooks of GitHub with one id, and different bodies": ("github", [github("d-1", '{"a":1}'), github("d-1", '{"a":2}')]),
        "two hooks of GitHub with one id and one body": ("github", [github("d-1", "{}", "1"), github("d-1", "{}", "2")]),
        "one key of two senders": (None, [Sent(f"/webhook/{name}", [("idempotency-key", "7")], "{}") for name in "ab"]),
        "one event to two endpoints of Stripe": ("stripe", [stripe("/webhook/a", EVENT), stripe("/webhook/b", EVENT)]),
        "notifications without a body": (None, [google(number) for number in (1, 2, 3)]),
        "notifications without a body of a sender that is not known": (
            None,
            [Sent("/webhook", [("x-number", str(number))], "") for number in (1, 2, 3)],
        ),
        "CloudEvents with one body": (
            None,
            [Sent("/webhook", [("ce-source", "/s"), ("ce-id", name)], '{"a":1}') for name in "ab"],
        ),
        "the same bytes twice, without any id": (None, [Sent("/webhook", [], '{"a":1}')] * 2),
        "a list in one header and in two": (
            None,
            [Sent("/webhook", [("idempotency-key", "7"), ("idempotency-key", key)], "{}") for key in "89"],
        ),
        "ids of 10 kB": (None, [Sent("/webhook", [("webhook-id", "x" * 10_000 + end)], "{}") for end in "ab"]),
        "empty ids": (None, [Sent("/webhook", [("webhook-id", "")], "{}")] * 2),
        "ids in upper and lower case": (None, [Sent("/webhook", [("webhook-id", key)], "{}") for key in "aA"]),
    }


@pytest.mark.parametrize("scheme", [None, "github", "stripe"])
def test_what_looks_alike_is_handled_all_the_same(start: StartGateway, scheme: str | None) -> None:
    cases = [sent for its_scheme, case in lookalikes().values() for sent in case if its_scheme == scheme]
    gateway = start(**({"verify": verify(scheme)} if scheme else {}))
    for sent in cases:
        gateway.post(sent)
    assert gateway.moto.messages_left(gateway.queue) == len(cases), "all are stored"
    gateway.start_worker()
    gateway.wait_until_empty()
    assert len(gateway.handled) == len(cases), "and handled"
    assert sorted(webhook.raw_body for webhook in gateway.handled) == sorted(sent.body.encode() for sent in cases)
    for webhook in gateway.handled:
        assert webhook.body_sha256 == hashlib.sha256(webhook.raw_body).hexdigest()
        assert webhook.verified is (True if scheme else None)


def test_a_true_retry_is_one(start: StartGateway) -> None:
    gateway = start()
    tries: list[Sent] = [
        Sent("/webhook", [("webhook-id", "w-1")], "{}"),
        Sent("/webhook", [("idempotency-key", "7")], "{}"),
        Sent("/webhook", [("ce-source", "/s"), ("ce-id", "7")], "{}"),
        Sent("/webhook", [("webhook-id", "x" * 10_000)], "{}"),
        google(1),
        stripe("/webhook", EVENT),
    ]
    for sent in tries * 3:
        gateway.post(sent)
    gateway.start_worker()
    gateway.wait_until_empty()
    assert len(gateway.handled) == len(tries)
    ids = [webhook.sender_id for webhook in gateway.handled]
    assert sorted(map(str, ids)) == sorted(["w-1", "7", "7", "x" * 10_000, "1", "evt_1"])


def test_the_operator_may_say_what_is_one_delivery(start: StartGateway) -> None:
    by_body = start(name="by-body", id="body_hash")
    by_header = start(name="by-header", id="${request.headers.x-acme-delivery}")
    for gateway, expected in ((by_body, 2), (by_header, 3)):
        for key, body in (("1", "{}"), ("1", "{}"), ("2", "{}"), ("2", "[]")):
            gateway.post(Sent("/webhook", [("x-acme-delivery", key)], body))
        gateway.start_worker()
        gateway.wait_until_empty()
        assert len(gateway.handled) == expected


def test_a_signature_is_for_the_id_that_it_covers(start: StartGateway) -> None:
    gateway = start(verify=verify("standard-webhooks"))
    sent = svix("msg_1", "{}")
    for more in ([], [("webhook-id", "msg_VICTIM")], [("stripe-signature", "t=1,v1=00")], [("x-github-delivery", "d")]):
        gateway.post(sent.adding(*more))
    gateway.post(svix("msg_VICTIM", "{}"))
    gateway.start_worker()
    gateway.wait_until_empty()
    assert sorted(str(webhook.sender_id) for webhook in gateway.handled) == ["msg_1", "msg_VICTIM"]
    assert all(webhook.verified for webhook in gateway.handled)
    dotted = svix("msg.1", "{}")
    gateway.post(dotted)
    wait_for(lambda: gateway.moto.messages_left(gateway.aside) == 1, "an id with a dot to be set aside")


def test_what_is_not_verified_displaces_nothing_and_holds_up_nothing(start: StartGateway) -> None:
    gateway = start(verify=verify("github"))
    sent = github("d-1", "{}")
    gateway.post(sent.without("x-hub-signature-256"))
    gateway.post(github("d-1", '{"signed":"long ago"}'))
    gateway.post(sent)
    messages = {message["MessageId"]: message for message in gateway.moto.receive(gateway.queue, 3)}.values()
    verified = {json.loads(message["Body"])["id"]: json.loads(message["Body"])["verified"] for message in messages}
    assert sorted(verified.values()) == [False, True, True] and len(verified) == 3
    if gateway.queue.url.endswith(".fifo"):
        groups = {message["Attributes"]["MessageGroupId"] for message in messages}
        (of_forged,) = [webhook_id for webhook_id, is_verified in verified.items() if not is_verified]
        assert groups == {"orders", of_forged}


def test_what_is_not_verified_has_a_queue_of_its_own(start: StartGateway) -> None:
    gateway = start(aside=True, verify=verify("github"))
    gateway.post(Sent("/webhook", [("x-github-delivery", "d-1")], "{}"))
    gateway.post(github("d-1", "{}"))
    (message,) = gateway.moto.receive(gateway.aside, 1)
    assert json.loads(message["Body"])["verify_error"] == "there is no header `x-hub-signature-256`"
    gateway.start_worker()
    gateway.wait_until_empty()
    assert [webhook.sender_id for webhook in gateway.handled] == ["d-1"]
    assert gateway.envoy.metric("retrohook_captures_unverified_total") == 1


def test_one_forged_webhook_does_not_hold_up_a_group(start: StartGateway) -> None:
    gateway = start(verify=verify("github"))
    # A worker that sets nothing aside fails at it, and gives it back for a while.
    gateway.worker._unverified_queue_url = None
    gateway.post(Sent("/webhook", [("x-github-delivery", "d-1")], "{}"))
    gateway.start_worker()
    time.sleep(1)
    began = time.monotonic()
    gateway.post(github("d-2", "{}"))
    wait_for(lambda: gateway.handled, "the genuine one")
    assert time.monotonic() - began < 10 and gateway.handled[0].sender_id == "d-2"
