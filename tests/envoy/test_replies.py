"""What SNS, or something that claims to be SNS, may answer: no event is lost, none is counted as published wrongly."""

import pytest
from rig.dns import NameServer
from rig.envoy import Envoy
from rig.gateway import MISSION_PUT, StartGateway
from rig.http import send, unused_address
from rig.sns_answers import Answers, acknowledge, body, cut, error, first, partial_failure, reset, slow, twice
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

EVENTS = 7

NOTHING_STORED = {
    "empty": body(b""),
    "not XML": body(b'{"this": "is JSON"}'),
    "not UTF-8": body(b"<PublishBatchResponse>\xff\xfe\x00</PublishBatchResponse>"),
    "another document": body(b"<html><body>Sign in to the hotel's network</body></html>"),
    "XML that never ends": body(b"<PublishBatchResponse><PublishBatchResult>" * 1000),
    "huge": body(b"<PublishBatchResponse>" + b"x" * (20 << 20)),
    "nothing confirmed": body(b"<PublishBatchResponse><PublishBatchResult/></PublishBatchResponse>"),
    "500": error(500),
    "503 without a body": body(b"", 503),
    "throttled": error(400, "Throttling"),
    "throttled with 403": error(403, "RequestThrottled"),
    "429": error(429, "TooManyRequestsException"),
    "429 with Retry-After": error(429, "TooManyRequestsException", (("retry-after", "1"),)),
    "503 with x-amz-retry-after": error(503, "SlowDown", (("x-amz-retry-after", "300"),)),
    "reset at once": reset(0, error(500)),
    "reset in the head": reset(20, error(500)),
    "reset in the body": reset(200, error(500)),
    "hung up at once": cut(0, error(500)),
    "cut in the head": cut(20, error(500)),
}
"""Replies after which the event has to be sent again."""

REPLY_LOST = {
    "hung up after storing": cut(0),
    "cut in the head after storing": cut(20),
    "cut in the body after storing": cut(200),
    "reset after storing": reset(0),
    "slower than the timeout": slow(1.5),
    "a black hole": slow(3600),
}
"""Only these may make an event arrive twice."""


def settle(envoy: Envoy, sink: SnsSink, fault: Answers) -> dict[str, float]:
    """What the metrics gained until all events were published, after two such answers."""
    sink.forget()
    sink.answers = first(2, fault)
    before = envoy.metrics()
    for _ in range(EVENTS):
        assert send(envoy.address_of(), *MISSION_PUT).status == 200
    published = "retrohook_events_published_total"
    all_of_them = before.get(published, 0) + EVENTS
    wait_for(lambda: envoy.metric(published) == all_of_them, f"{EVENTS} published events")
    return {name: value - before.get(name, 0) for name, value in envoy.metrics().items()}


@pytest.mark.parametrize("name", NOTHING_STORED)
def test_an_event_is_sent_until_it_is_stored(start_gateway: StartGateway, sink: SnsSink, way: str, name: str) -> None:
    # So long that no reply comes after it, on a busy machine neither.
    envoy = start_gateway(way, sink.address, timeout_ms=60_000)
    gained = settle(envoy, sink, NOTHING_STORED[name])
    assert list(sink.stored.values()) == [1] * EVENTS
    assert gained["retrohook_events_retried_total"] >= 1
    wait_for(lambda: envoy.metric("retrohook_queued_entries") == 0, "an empty queue")


def test_a_lost_reply_repeats_events_with_the_same_id(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    envoy = start_gateway(way, sink.address, timeout_ms=1000)
    for name, fault in REPLY_LOST.items():
        settle(envoy, sink, fault)
        assert len(sink.stored) == EVENTS, name
        assert max(sink.stored.values()) > 1, name


def test_a_reply_that_comes_twice_counts_once(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    envoy = start_gateway(way, sink.address)
    gained = settle(envoy, sink, twice())
    assert gained["retrohook_events_published_total"] == EVENTS
    assert len(sink.stored) == EVENTS
    wait_for(lambda: envoy.metric("retrohook_queued_entries") == 0, "an empty queue")


def test_nobody_listens_and_then_somebody_does(start_gateway: StartGateway, way: str) -> None:
    address = unused_address()
    envoy = start_gateway(way, address)
    for _ in range(EVENTS):
        assert send(envoy.address_of(), *MISSION_PUT).status == 200
    wait_for(lambda: "delivery fails and will be tried again" in envoy.log(), "the circuit to open")
    with SnsSink(port=address[1]) as sink:
        sink.wait_for_events(EVENTS)
        assert list(sink.stored.values()) == [1] * EVENTS


def test_the_name_of_sns_has_no_address_and_then_it_has(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    with NameServer() as names:
        names.gone = True
        aws = ("sns.us-east-1.amazonaws.com", sink.address[1])
        envoy = start_gateway(way, aws, adjust=lambda config: config.resolve_aws_at(names.address))
        for _ in range(EVENTS):
            assert send(envoy.address_of(), *MISSION_PUT).status == 200
        wait_for(lambda: "delivery fails and will be tried again" in envoy.log(), "the circuit to open")
        assert names.asked > 0 and not sink.requests
        names.gone = False
        sink.wait_for_events(EVENTS)
        assert list(sink.stored.values()) == [1] * EVENTS


def test_only_the_refused_entries_of_a_batch_are_sent_again(
    start_gateway: StartGateway, sink: SnsSink, way: str
) -> None:
    refused: set[str] = set()

    def every_third(event_id: str) -> bool:
        if event_id not in refused and (len(sink.stored) + len(refused)) % 3 == 0:
            refused.add(event_id)
            return True
        return False

    sink.answers = partial_failure(every_third)
    envoy = start_gateway(way, sink.address)
    for _ in range(30):
        send(envoy.address_of(), *MISSION_PUT)
    sink.wait_for_events(30)
    assert list(sink.stored.values()) == [1] * 30
    assert refused, "the test refused some"


def test_what_sns_refuses_for_good_is_dropped_and_counted(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    sink.answers = error(400, "InvalidParameter")
    envoy = start_gateway(way, sink.address)
    send(envoy.address_of(), *MISSION_PUT)
    wait_for(lambda: envoy.metric("retrohook_events_dropped_refused_total") == 1, "the event to be dropped")
    wait_for(lambda: envoy.metric("retrohook_queued_entries") == 0, "an empty queue")
    wait_for(lambda: "InvalidParameter" in envoy.log(), "the reason to be logged")

    sink.answers = acknowledge
    send(envoy.address_of(), *MISSION_PUT)
    wait_for(lambda: len(sink.stored) == 1, "the next event, which is as it should be")
