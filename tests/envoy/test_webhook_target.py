"""Events for a webhook of one's own, in real Envoy: a receiver that checks them with the official library, and everything that it
may do instead of taking them."""

import json
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rig import PROJECT
from rig.certificates import Authority
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.http import send
from rig.process import ServerProcess
from rig.profile_service import ProfileService
from rig.sns_answers import Answer, Answers, cut, first, slow
from rig.waiting import wait_for
from rig.webhook_receiver import NEW_SECRET, SECRET, WebhookReceiver, WebhookRequest

NAME = "hooks.example.com"
ENVIRONMENT = {"HOOK_SECRET": SECRET, "HOOK_TOKEN": "hunter2"}

Start = Callable[..., Envoy]
StartEnvoy = Callable[..., Envoy]


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
def start(wasm: Path, profile_service: ProfileService, start_envoy: StartEnvoy) -> Start:
    """Starts Envoys with envoy/webhook-target.yaml, without a key of AWS."""

    def start(receiver: WebhookReceiver, trusted_ca: Path | None = None, workers: int = 1, **settings: Any) -> Envoy:
        config = EnvoyConfig("webhook-target", wasm)
        config.aim_service(profile_service.address)
        config.aim_aws(receiver.address, trusted_ca)
        config.configure(**settings)
        return start_envoy(config, ENVIRONMENT, workers)

    return start


def put(envoy: Envoy, *numbers: int, path: str = "/mockbin/profile") -> None:
    for number in numbers:
        assert send(envoy.address_of(), "PUT", f"{path}?n={number}").status == 200


def numbers(requests: list[WebhookRequest]) -> list[int]:
    return [int(request.number) for request in requests]


def test_each_event_is_one_signed_request(start: Start, receiver: WebhookReceiver) -> None:
    envoy = start(receiver, attributes={"site": "eu-1"})
    put(envoy, *range(20))
    received = receiver.wait_for_events(20)
    assert sorted(numbers(received)) == list(range(20)) and set(receiver.stored.values()) == {1}
    for request in received:
        assert (request.method, request.target, request.headers["host"]) == ("POST", "/in", NAME)
        assert request.headers["content-type"] == "application/json"
        assert request.headers["authorization"] == "Bearer hunter2" and "x-amz-date" not in request.headers
        event = request.event
        assert str(uuid.UUID(event["event_id"])) == request.event_id
        assert event["attributes"]["site"] == "eu-1" and event["attributes"]["status"] == 200
        assert (event["event_type"], event["request"]["uri"]) == ("profile.updated", f"/mockbin/profile?n={request.number}")
    wait_for(lambda: envoy.metric("retrohook_events_published_total") == 20, "the metric")
    assert 'target="hooks.example.com/in"' in envoy.admin_get("/stats/prometheus")
    assert "hunter2" not in envoy.log() and SECRET[6:] not in envoy.log()


FAULTS: dict[str, Callable[[WebhookReceiver], Answers]] = {
    "500": lambda receiver: first(3, lambda request: Answer(500, b""), receiver.take),
    "503": lambda receiver: first(3, lambda request: Answer(503, b"", headers=(("retry-after", "1"),)), receiver.take),
    "429": lambda receiver: first(2, lambda request: Answer(429, b"", headers=(("retry-after", "1"),)), receiver.take),
    "slow": lambda receiver: slow(0.3, receiver.take),
    "hangs": lambda receiver: first(2, slow(30.0, lambda request: Answer(204, b"")), receiver.take),
    "says very much": lambda receiver: lambda request: replace(receiver.take(request), body=b"x" * 3_000_000, status=200),
    "closes at once": lambda receiver: first(3, cut(0, lambda request: Answer(204, b"")), receiver.take),
    "cuts its head": lambda receiver: first(3, cut(20, lambda request: Answer(204, b"")), receiver.take),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_no_event(start: Start, receiver: WebhookReceiver, fault: str) -> None:
    receiver.answers = FAULTS[fault](receiver)
    envoy = start(receiver, timeout_ms=1000)
    put(envoy, *range(6))
    wait_for(lambda: len(receiver.stored) == 6, "all events", 60)
    assert set(receiver.stored.values()) == {1}
    tries: dict[str, list[WebhookRequest]] = {}
    for request in list(receiver.requests):
        assert request.is_signed_with(SECRET), "whichever try it is"
        tries.setdefault(request.event_id, []).append(request)
    assert all(len({request.body for request in each}) == 1 for each in tries.values())
    wait_for(lambda: envoy.metric("retrohook_queued_entries") == 0, "the queue to be empty")


@pytest.mark.parametrize("status", [410, 401, 308])
def test_a_refusal_holds_everything_with_one_line_and_nothing_is_lost(start: Start, receiver: WebhookReceiver, status: int) -> None:
    receiver.answer_with(status, headers=(("location", "/elsewhere"),))
    envoy = start(receiver)
    put(envoy, *range(4))
    wait_for(lambda: envoy.metric("retrohook_targets_refused") == 1, "the gauge")
    wait_for(lambda: "are refused" in envoy.log(), "the line")
    wait_for(lambda: envoy.metric("retrohook_queued_entries") == 4, "all to be held")
    receiver.answers = receiver.take
    wait_for(lambda: len(receiver.stored) == 4, "all events", 60)
    wait_for(lambda: envoy.metric("retrohook_targets_refused") == 0, "the gauge to come down")
    assert {request.target for request in receiver.requests} == {"/in"}, "no redirect is followed"
    log = envoy.log()
    assert log.count("are refused, and") == 1 and f"Status {status}" in log
    assert ("it wants no more events" in log) == (status == 410)


def test_while_a_secret_is_changed_the_receiver_may_have_either(start: Start, receiver: WebhookReceiver) -> None:
    envoy = start(receiver, webhook={"secrets": [NEW_SECRET, "${env.HOOK_SECRET}"]})
    put(envoy, 0)
    receiver.wait_for_events(1)
    receiver.secret = NEW_SECRET
    put(envoy, 1)
    receiver.wait_for_events(2)
    assert all(request.is_signed_with(SECRET) and request.is_signed_with(NEW_SECRET) for request in receiver.requests)


def test_the_order_of_a_group_is_kept_among_workers_and_over_failures(start: Start, receiver: WebhookReceiver) -> None:
    failed: Counter[str] = Counter()

    def fail_each_once(request: WebhookRequest) -> Answer:
        failed[request.event_id] += 1
        return Answer(500, b"") if failed[request.event_id] == 1 else receiver.take(request)

    receiver.answers = fail_each_once
    matcher = "^/mockbin/(?<user>ada|bob)/profile$"
    envoy = start(receiver, workers=2, routes=[{"method": "PUT", "matcher": matcher, "message_group_id": "${path.user}"}])
    for number in range(20):
        put(envoy, number, path=f"/mockbin/{'ada' if number % 2 else 'bob'}/profile")
    wait_for(lambda: len(receiver.stored) == 20, "all events", 60)
    seen: dict[int, list[int]] = {0: [], 1: []}
    tried: Counter[str] = Counter()
    for request in list(receiver.requests):
        tried[request.event_id] += 1
        if tried[request.event_id] == 2:
            seen[int(request.number) % 2].append(int(request.number))
    assert seen == {0: list(range(0, 20, 2)), 1: list(range(1, 20, 2))}


def test_tls_is_of_the_right_name_and_of_no_other(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with WebhookReceiver(authority.server_context(NAME)) as receiver:
        put(start(receiver, trusted_ca=authority.certificate_path), 0)
        receiver.wait_for_events(1)
        assert set(receiver.server_names) == {NAME}
    with WebhookReceiver(authority.server_context("other.example.com")) as other:
        envoy = start(other, trusted_ca=authority.certificate_path)
        put(envoy, 0)
        failed = ("retrohook_callouts_error_total", "retrohook_callouts_no_reply_total")
        wait_for(lambda: other.server_names and sum(map(envoy.metric, failed)) >= 1, "the failed callout")
        assert not other.requests


def test_a_dead_letter_is_sent_after_all(start: Start, receiver: WebhookReceiver, tmp_path: Path) -> None:
    receiver.answers = lambda request: Answer(422, b"Bearer hunter2") if request.number == "1" else receiver.take(request)
    envoy = start(receiver, attributes={"site": "eu-1"})
    put(envoy, 0, 1, 2)
    receiver.wait_for_events(2)
    wait_for(lambda: envoy.metric("retrohook_events_dropped_refused_total") == 1, "the loss")
    wait_for(lambda: "retrohook-dead-letter" in envoy.log(), "the letter")
    assert "hunter2" not in envoy.log()
    (dead,) = [request for request in receiver.requests if request.number == "1"]
    receiver.answers = receiver.take

    host, port = receiver.address
    config = tmp_path / "retrohook.json"
    # The gateway knows the receiver by a name; here it has none.
    settings = {"secrets": ["${env.HOOK_SECRET}"], "headers": {"authorization": "Bearer ${env.HOOK_TOKEN}"}}
    config.write_text(json.dumps({"webhook_url": f"http://{host}:{port}/in?key=1", "webhook": settings}))
    log = tmp_path / "letters.log"
    log.write_text(envoy.log().replace(f"https://{NAME}/in", f"http://{host}:{port}/in"))
    tool = [sys.executable, str(PROJECT / "examples" / "replay_dead_letters.py"), str(log), "--config", str(config)]
    with ServerProcess(tool, tmp_path / "replay.log", ENVIRONMENT) as replay:
        assert replay.wait_for_exit() == 0, replay.log()
    assert replay.log() == "1 sent, 0 not sent, 0 not readable\n"
    (again,) = [request for request in receiver.requests if request.number == "1" and request is not dead]
    assert again.is_signed_with(SECRET) and again.event_id == dead.event_id and again.event == dead.event
    assert (again.target, again.headers["authorization"]) == ("/in?key=1", "Bearer hunter2")
    assert receiver.stored[again.event_id] == 1
