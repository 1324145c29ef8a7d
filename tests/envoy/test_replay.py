"""From a refused event in real Envoy to its dead letter, and from there to the topic after all."""

import json
import sys
from pathlib import Path

import pytest
from rig import PROJECT
from rig.gateway import StartGateway
from rig.http import send
from rig.moto import REGION, Moto, Queue
from rig.process import ServerProcess
from rig.waiting import wait_for

pytestmark = pytest.mark.own_process


def test_what_was_refused_for_too_long_is_sent_after_all(start_gateway: StartGateway, moto: Moto, way: str, tmp_path: Path) -> None:
    stack = moto.create_stack(PROJECT / "deploy" / "publish.yaml")
    another = moto.create_stack(PROJECT / "deploy" / "publish.yaml")
    stranger = moto.create_user(policy_arns=[another["PublisherPolicyArn"]])
    settings = {"attributes": {"site": "eu-1"}, "queue": {"max_age_seconds": 2}}
    envoy = start_gateway(way, moto.address, stranger, topic_arn=stack["TopicArn"], **settings)
    # As a client would who wants to put a letter of his own into the log.
    odd = 'é "quoted" retrohook-dead-letter {"id":"forged"} retrohook-end'
    for number in range(3):
        send(envoy.address_of(), "PUT", f"/mockbin/profile?n={number}", {"user-agent": odd.encode()})
    wait_for(lambda: envoy.metric("retrohook_events_dropped_expired_total") == 3, "the losses")
    wait_for(lambda: envoy.log().count("retrohook-dead-letter") >= 3, "the letters in the log")

    keys = moto.create_user(policy_arns=[stack["PublisherPolicyArn"]]).environment()
    with ServerProcess(
        [sys.executable, str(PROJECT / "examples" / "replay_dead_letters.py"), str(envoy.log_path)],
        tmp_path / "replay.log",
        {**keys, "AWS_ENDPOINT_URL": moto.url, "AWS_DEFAULT_REGION": REGION},
    ) as replay:
        assert replay.wait_for_exit() == 0, replay.log()
    assert replay.log() == "3 sent, 0 not sent, 0 not readable\n"

    messages = moto.receive(Queue(stack["QueueUrl"], ""), 3)
    events = [json.loads(message["Body"]) for message in messages]
    assert sorted(event["request"]["querystring"]["n"] for event in events) == ["0", "1", "2"]
    for message, event in zip(messages, events, strict=True):
        assert event["request"]["headers"]["user-agent"] == odd
        attributes = message["MessageAttributes"]
        assert attributes["event_id"]["StringValue"] == event["event_id"]
        assert attributes["status"] == {"DataType": "Number", "StringValue": "200"}
        assert attributes["site"]["StringValue"] == "eu-1"


MARK = "0c55d1e84b7a9f3a-_of-this-gateway"


def test_no_client_makes_up_a_letter_whatever_the_access_log_looks_like(
    start_gateway: StartGateway, moto: Moto, way: str, tmp_path: Path
) -> None:
    stack = moto.create_stack(PROJECT / "deploy" / "publish.yaml")
    victim = moto.create_queue()
    stranger = moto.create_user()
    envoy = start_gateway(
        way,
        moto.address,
        stranger,
        adjust=lambda config: config.add_access_log("%REQ(X-FORGED)%\n"),
        topic_arn=stack["TopicArn"],
        dead_letter={"mark": MARK},
    )
    letter = {
        "id": "forged", "reason": "refused", "at": "2026-01-01T12:00:00.012Z", "attributes": {}, "message": "forged",
        "target": {"queue_url": victim.url, "region": REGION},
    }  # fmt: skip
    forged = f"retrohook-dead-letter {json.dumps(letter)} retrohook-end"
    line = "[2026-11-24 22:00:00.000][7][error][wasm] [source/extensions/common/wasm/context.cc:1195] wasm log retrohook: "
    guesses = ["", f"{'0' * len(MARK)} "]
    for before in ("", line):
        for guess in guesses:
            text = before + forged.replace("retrohook-dead-letter ", f"retrohook-dead-letter {guess}")
            assert send(envoy.address_of(), "GET", "/mockbin/profile", {"x-forged": text}).status == 200
    send(envoy.address_of(), "PUT", "/mockbin/profile?n=0", {"x-forged": forged})
    wait_for(lambda: envoy.metric("retrohook_events_matched_total") == 1, "the event")
    # Envoy writes its access log every ten seconds, and at its end; by then there is a letter of the event, too.
    envoy.stop()
    log = envoy.log()
    assert log.count(MARK) == 1
    assert log.splitlines().count(forged) == 2, "this is what a log looks like that a client can write to"

    keys = moto.administrator.environment()
    with ServerProcess(
        [sys.executable, str(PROJECT / "examples" / "replay_dead_letters.py"), str(envoy.log_path), "--mark", MARK],
        tmp_path / "replay.log",
        {**keys, "AWS_ENDPOINT_URL": moto.url, "AWS_DEFAULT_REGION": REGION},
    ) as replay:
        assert replay.wait_for_exit() == 1
    assert replay.log().endswith("1 sent, 0 not sent, 5 not readable\n"), replay.log()
    (message,) = moto.receive(Queue(stack["QueueUrl"], ""), 1)
    assert json.loads(message["Body"])["request"]["querystring"] == {"n": "0"}
    assert moto.messages_left(victim) == 0
