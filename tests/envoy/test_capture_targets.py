"""Webhooks into a topic and an event bus, through real Envoy and past a moto that checks signatures and permissions: who subscribes gets
what a reader of the queue would get.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rig import PROJECT
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import ANY_CREDENTIALS
from rig.http import Reply, send, unused_address
from rig.moto import Moto, Queue
from rig.webhook_stage import WebhookWorker
from rig.waiting import wait_for

sys.path.insert(0, str(PROJECT / "examples"))

from webhook import webhook_of  # noqa: E402

BODY = b'{"id": 1.50, "text": "\\u00e9 \xc3\xa9", "id": 2}'

Start = Callable[..., Envoy]


@pytest.fixture
def start(moto: Moto, wasm: Path, start_envoy: Callable[..., Envoy]) -> Start:
    """Starts an Envoy with envoy/capture.yaml, whose captures go to moto instead of the shipped queue."""

    def start(actions: list[str], *captures: dict[str, Any], address: Any = None) -> Envoy:
        config = EnvoyConfig("capture", wasm)
        config.aim_queue(address or moto.address, "http://127.0.0.1:1/123456789012/none")
        (shipped,) = config.settings["capture"]
        shipped = {**shipped, "queue_url": None, "endpoint": moto.url, "timeout_ms": 2000}
        config.configure(
            capture=[{**shipped, "matcher": f"^/webhook/{at}$", "name": f"hook-{at}", **each} for at, each in enumerate(captures)],
            credentials=moto.create_user(actions).settings(),
        )
        return start_envoy(config, ANY_CREDENTIALS.environment())

    return start


def post(envoy: Envoy, body: bytes = BODY, at: int = 0, **headers: str) -> Reply:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return send(envoy.address_of(), "POST", f"/webhook/{at}", {"content-type": "application/json", **given}, body)


def test_a_subscribed_queue_gets_the_message_and_its_attributes_and_filters_by_them(start: Start, moto: Moto) -> None:
    topic = moto.create_topic()
    raw, wrapped = moto.subscribe_queue(topic), moto.subscribe_queue(topic, RawMessageDelivery="false")
    of_github = moto.subscribe_queue(topic, FilterPolicy=json.dumps({"source": ["github"]}))
    envoy = start(["sns:Publish"], {"topic_arn": topic})

    reply = post(envoy, x_github_delivery="d-1")
    assert reply.status == 200, envoy.log()[-2000:]
    assert post(envoy, b"[]").status == 200
    first, second = moto.receive(raw, 2)
    webhook = webhook_of(first["Body"])
    assert (webhook.raw_body, webhook.sender_id, webhook.path) == (BODY, "d-1", "/webhook/0")
    assert first["MessageAttributes"]["id"]["StringValue"] == webhook.id != webhook_of(second["Body"]).id
    assert first["MessageAttributes"]["capture"]["StringValue"] == "hook-0"

    notifications = [json.loads(message["Body"]) for message in moto.receive(wrapped, 2)]
    assert notifications[0]["Type"] == "Notification"
    assert notifications[0]["MessageId"] == reply.headers["x-retrohook-message-id"], "SNS's own id is what the sender is told"
    assert webhook_of(notifications[0]["Message"]).raw_body == BODY
    (only,) = moto.receive(of_github, 1)
    assert webhook_of(only["Body"]).id == webhook.id


def test_rules_of_a_bus_match_what_a_webhook_has(start: Start, moto: Moto) -> None:
    bus = moto.create_bus()
    webhooks = moto.follow(bus, {"source": ["retrohook"], "detail-type": ["webhook"]})
    seconds = moto.follow(bus, {"detail": {"body": {"kind": ["second"]}, "attributes": {"capture": ["hook-0"]}}})
    envoy = start(["events:PutEvents"], {"event_bus": bus, "region": "us-east-1"})

    first, second = b'{"kind":"first"}', b'{"kind":"second"}'
    replies = [post(envoy, body) for body in (first, second)]
    assert [reply.status for reply in replies] == [200, 200], envoy.log()[-2000:]
    events = {event["id"]: event for event in (json.loads(message["Body"]) for message in moto.receive(webhooks, 2))}
    for reply, body in zip(replies, (first, second), strict=True):
        event = events[reply.headers["x-retrohook-message-id"]]
        assert (event["detail-type"], event["detail"]["body"]) == ("webhook", json.loads(body))
        assert event["detail"]["body_sha256"] == hashlib.sha256(body).hexdigest()
        assert webhook_of(json.dumps(event["detail"])).id == event["detail"]["attributes"]["id"]
    (only,) = moto.receive(seconds, 1)
    assert json.loads(only["Body"])["detail"]["body"] == {"kind": "second"}


def test_a_fifo_topic_keeps_the_order_of_a_group_and_takes_a_retry_once(start: Start, moto: Moto) -> None:
    topic = moto.create_topic(fifo=True)
    queue = moto.subscribe_queue(topic, fifo=True)
    envoy = start(["sns:Publish"], {"topic_arn": topic, "message_group_id": "${request.headers.x-shop}"})
    for number in (1, 2, 2, 3):
        assert post(envoy, json.dumps([number]).encode(), idempotency_key=str(number), x_shop="acme").status == 200
    messages = moto.receive(queue, 3)
    assert [webhook_of(message["Body"]).body for message in messages] == [[1], [2], [3]]
    assert {message["Attributes"]["MessageGroupId"] for message in messages} == {"acme"}


def test_what_is_not_verified_goes_to_a_target_of_another_kind(start: Start, moto: Moto) -> None:
    topic, bus = moto.create_topic(), moto.create_bus()
    good, bad = moto.subscribe_queue(topic), moto.follow(bus, {"detail": {"verified": [False]}})
    verify = {"scheme": "token", "header": "x-token", "secrets": ["s3cret"]}
    unverified = {"event_bus": bus, "region": "us-east-1", "endpoint": moto.url, "upstream": "sqs.us-east-1.amazonaws.com:443"}
    envoy = start(["sns:Publish", "events:PutEvents"], {"topic_arn": topic, "verify": verify, "unverified": unverified})
    assert [post(envoy, x_token=token).status for token in ("s3cret", "wrong")] == [200, 200]
    (message,) = moto.receive(good, 1)
    assert webhook_of(message["Body"]).verified is True
    (message,) = moto.receive(bad, 1)
    assert json.loads(message["Body"])["detail"]["verify_error"] == "no signature matches"


@pytest.mark.parametrize("kind", ["topic_arn", "event_bus"])
def test_where_there_is_no_target_or_no_permission_the_sender_tries_again(start: Start, moto: Moto, kind: str) -> None:
    name = {"topic_arn": "arn:aws:sns:us-east-1:123456789012:nobody", "event_bus": "arn:aws:events:us-east-1:123456789012:event-bus/b"}
    mine = {"topic_arn": moto.create_topic(), "event_bus": moto.create_bus()}
    envoy = start(["sqs:SendMessage"], {kind: mine[kind], "region": "us-east-1"}, {kind: name[kind]})
    for at in (0, 1):
        reply = post(envoy, at=at)
        assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    wait_for(lambda: "cannot be stored and are answered 503" in envoy.log(), "the line in the log")
    assert "AccessDenied" in envoy.log() or "AuthorizationError" in envoy.log()


def test_a_dead_address_is_a_503_within_the_patience(start: Start) -> None:
    envoy = start(
        ["sns:Publish"],
        {"topic_arn": "arn:aws:sns:us-east-1:123456789012:dead"},
        {"event_bus": "dead", "region": "us-east-1"},
        address=unused_address(),
    )
    assert [post(envoy, at=at).status for at in (0, 1)] == [503, 503]


def test_the_example_worker_takes_what_a_subscribed_queue_has(start: Start, moto: Moto, tmp_path: Path) -> None:
    topic = moto.create_topic()
    queue: Queue = moto.subscribe_queue(topic)
    envoy = start(["sns:Publish"], {"topic_arn": topic})
    record = tmp_path / "handled"
    with WebhookWorker(moto, queue, tmp_path / "worker.log", record=record):
        assert post(envoy, x_github_delivery="d-1").status == 200
        wait_for(lambda: record.exists() and record.read_text().strip() != "", "the webhook to be handled")
        wait_for(lambda: moto.messages_left(queue) == 0, "the message to be deleted")
