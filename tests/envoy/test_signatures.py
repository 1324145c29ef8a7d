"""Every call of a run is signed as botocore would sign it: to queues and event buses, with a session token or without, in
batches, and again after a failure.
"""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import ANY_CREDENTIALS, StartGateway
from rig.http import send_raw
from rig.signatures import Key, is_right
from rig.sns_answers import Answer, Answers, held, in_turn
from rig.sqs_sink import SqsRequest, SqsSink, error
from rig.waiting import wait_for

EVENTS = 25

IS_TEMPORARY = pytest.mark.parametrize("token", [None, "a/session+token=="], ids=["long-term", "temporary"])

# What canonical requests and JSON spell differently.
ODD_CHARACTERS = (
    "{method} {path}?q=%20+*~&x='(%C3%A9)'&n={number} HTTP/1.1\r\nhost: gateway\r\nwebhook-id: w-{number}\r\n"
    "x-odd: \u00e4 \u20ac ~*'\"\\+%&=\r\ncontent-length: {length}\r\n\r\n{body}"
)


def acknowledge(request: SqsRequest) -> Answer:
    """As SQS and EventBridge would."""
    fields = request.fields
    replies: dict[str, Callable[[], dict[str, Any]]] = {
        "AmazonSQS.SendMessage": lambda: {"MessageId": str(uuid4())},
        "AmazonSQS.SendMessageBatch": lambda: {
            "Successful": [{"Id": entry["Id"], "MessageId": str(uuid4())} for entry in fields["Entries"]],
            "Failed": [],
        },
        "AWSEvents.PutEvents": lambda: {
            "FailedEntryCount": 0,
            "Entries": [{"EventId": str(uuid4())} for _ in fields["Entries"]],
        },
    }
    return Answer(200, json.dumps(replies[request.headers["x-amz-target"]]()).encode())


def troubled(first_call: Answers) -> Answers:
    """The second call is to be made again, or the second and the third."""
    return in_turn([first_call, error(500), error(503)], acknowledge)


@pytest.fixture
def aws() -> Iterator[SqsSink]:
    with SqsSink() as sink:
        yield sink


def credentials(token: str | None) -> dict[str, str]:
    return ANY_CREDENTIALS.settings() | ({"session_token": token} if token else {})


def ask(envoy: Envoy, method: str, path: str, number: int, body: str = "") -> int:
    text = ODD_CHARACTERS.format(method=method, path=path, number=number, length=len(body.encode()), body=body)
    return send_raw(envoy.address_of(), text.encode())


def assert_all_are_right(aws: SqsSink, service: str, token: str | None) -> None:
    assert len(aws.requests) == aws.request_count, "all were kept"
    key = Key(ANY_CREDENTIALS.access_key_id, ANY_CREDENTIALS.secret_access_key, token)
    wrong = [request for request in aws.requests if not is_right(request, key, service)]
    assert not wrong, wrong[0]
    # Or it would say nothing.
    (request, *_) = aws.requests
    assert not is_right(request, key, "sns")
    assert not is_right(request, Key(key.access_key_id, key.secret_access_key[::-1], token), service)
    assert not is_right(SqsRequest("POST", "/", request.headers, request.body + b" "), key, service)


@IS_TEMPORARY
@pytest.mark.parametrize("kind", ["queue_url", "event_bus"])
def test_of_events(start_gateway: StartGateway, aws: SqsSink, way: str, kind: str, token: str | None) -> None:
    host, port = aws.address
    name, service = {"queue_url": (aws.url, "sqs"), "event_bus": ("orders", "events")}[kind]
    settings: dict[str, Any] = {
        kind: name,
        "topic_arn": None,
        "upstream": None,
        "region": "us-east-1",
        "endpoint": f"http://{host}:{port}",
        "credentials": credentials(token),
        "max_in_flight": 1,
        "timeout_ms": 60_000,
        "routes": [{"method": "PUT", "matcher": "/profile"}],
    }
    envoy = start_gateway(way, aws.address, adjust=lambda config: config.add_cluster(f"{host}:{port}", aws.address), **settings)
    gate = threading.Event()
    aws.answers = troubled(held(gate, acknowledge))
    for number in range(EVENTS):
        assert ask(envoy, "PUT", "/mockbin/profile", number) == 200
    # So that the second call has much to carry.
    wait_for(lambda: envoy.metric("retrohook_events_matched_total") == EVENTS, "all of them to be queued")
    gate.set()
    wait_for(lambda: envoy.metric("retrohook_events_published_total") == EVENTS, "every event")
    assert_all_are_right(aws, service, token)
    sizes = [len(request.fields.get("Entries", "1")) for request in aws.requests]
    assert max(sizes) > 1, sizes
    assert any("\u00e4 \u20ac" in request.body.decode() for request in aws.requests), "beyond ASCII"


@IS_TEMPORARY
def test_of_webhooks(wasm: Path, tmp_path: Path, aws: SqsSink, token: str | None) -> None:
    config = EnvoyConfig("capture", wasm)
    config.aim_queue(aws.address, aws.url)
    config.configure(credentials=credentials(token), timeout_ms=60_000)
    aws.answers = troubled(acknowledge)
    with Envoy(config.write(tmp_path / "envoy.yaml")) as envoy:
        for number in range(EVENTS):
            assert ask(envoy, "POST", "/webhook", number, '{"what": "\u00e4 \u20ac \\"\\\\"}') == 200
    assert aws.request_count == EVENTS + 2, "two of them twice, or one three times"
    assert_all_are_right(aws, "sqs", token)
