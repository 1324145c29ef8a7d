"""SNS away, and SNS sick, under load in real Envoy: every event arrives, and no client notices.

RETROHOOK_OUTAGE_SECONDS and RETROHOOK_OUTAGE_RATE make it longer and harder; the promise was tried with 30 s at 1,000 requests/s.
"""

import os
import time
from collections import Counter

import pytest
from rig.gateway import StartGateway
from rig.http import unused_address
from rig.load import LoadProcess, run_load
from rig.sns_answers import Answer, acknowledge, at_random, cut, error, partial_failure
from rig.sns_request import SnsRequest
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

pytestmark = pytest.mark.own_process

SECONDS = float(os.environ.get("RETROHOOK_OUTAGE_SECONDS", "4"))
RATE = float(os.environ.get("RETROHOOK_OUTAGE_RATE", "500"))
COUNT = int(SECONDS * RATE)
QUEUE = {"max_entries": 1_000_000, "max_bytes": 268_435_456}


def test_sns_is_away_for_a_while(start_gateway: StartGateway, way: str) -> None:
    address = unused_address()
    envoy = start_gateway(way, address, queue=QUEUE)
    gateway = envoy.address_of()
    with SnsSink(port=address[1]) as sink:
        run_load(gateway, "PUT", "/mockbin/profile", 200, RATE)
        before = run_load(gateway, "PUT", "/mockbin/profile", COUNT, RATE)
        sink.wait_for_events(200 + COUNT)
    load = LoadProcess(gateway, "PUT", "/mockbin/profile", COUNT, RATE)
    during = load.result()
    assert before.statuses == during.statuses == {200: COUNT}
    wait_for(lambda: "delivery fails and will be tried again" in envoy.log(), "the circuit to open")
    queued = envoy.metric("retrohook_queued_entries")
    with SnsSink(port=address[1]) as sink:
        back = time.monotonic()
        wait_for(lambda: len(sink.stored) > 0, "the first event")
        first = time.monotonic() - back
        wait_for(lambda: sink.request_count >= 20 or len(sink.stored) == queued, "full speed")
        full_speed = time.monotonic() - back
        sink.wait_for_events(COUNT)
        drained = time.monotonic() - back
        assert sink.marks == set(range(COUNT)) and set(sink.stored.values()) == {1}
        wait_for(lambda: envoy.metric("retrohook_queued_entries") == 0, "an empty queue")
    print(
        f"{way}: {COUNT} events queued in {during.seconds:.0f} s; first after {first:.2f} s, full speed after {full_speed:.2f} s, "
        f"all after {drained:.2f} s; p99 {before.p99_ms:.2f} ms before and {during.p99_ms:.2f} ms during, "
        f"{during.p99_ms / before.p99_ms:.2f} times; median {during.median_ms / before.median_ms:.2f} times"
    )
    dropped = {name: value for name, value in envoy.metrics().items() if "dropped" in name and value}
    assert dropped == {}


@pytest.mark.parametrize("lost_replies", [False, True])
def test_entries_fail_at_random(start_gateway: StartGateway, sink: SnsSink, way: str, lost_replies: bool) -> None:
    """5 % of the entries; and, in the second case, 5 % of the replies are lost after the events were stored."""
    tried: Counter[str] = Counter()

    def refused(event_id: str) -> bool:
        tried[event_id] += 1
        # By the id, so that it is 5 % of the events whatever the order; at its second attempt it is taken.
        return tried[event_id] == 1 and int(event_id[-4:], 16) % 20 == 0

    lost: set[str] = set()
    partial = partial_failure(refused)

    def lose(request: SnsRequest) -> Answer:
        lost.update(each.event_id for each in request.summaries)
        return cut(0, partial)(request)

    sink.answers = at_random(0.05, lose, partial) if lost_replies else partial
    envoy = start_gateway(way, sink.address, queue=QUEUE)
    result = run_load(envoy.address_of(), "PUT", "/mockbin/profile", COUNT, RATE)
    assert result.statuses == {200: COUNT}
    wait_for(lambda: envoy.metric("retrohook_events_published_total") == COUNT, "all to be acknowledged")
    assert sink.marks == set(range(COUNT)), "none is lost"
    repeated = {event_id for event_id, times in sink.stored.items() if times > 1}
    print(f"{way}: {COUNT} events, {sum(count > 1 for count in tried.values())} tried again, {len(repeated)} arrived twice")
    assert repeated <= lost, "only where a reply was lost"
    assert sum(count > 1 for count in tried.values()) > COUNT / 100
