"""5,000 matching requests a second through one worker: every event is acknowledged, none is lost, none comes twice.

RETROHOOK_LOAD_SECONDS makes it shorter. What arrives is judged on any machine, the rate only on one that is free.
"""

import os

import pytest
from rig.cpu import CpuWatch
from rig.gateway import StartGateway
from rig.load import run_load
from rig.profile_service import ProfileService
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

RATE = 5_000
# Of the clock: the last request may wait for its response.
TOLERANCE = 0.98
# In cores. With more than that taken by other programs, a missed rate says nothing of the gateway.
MOST_TAKEN = 0.2
SECONDS = float(os.environ.get("RETROHOOK_LOAD_SECONDS", "20"))


def test_none_lost_none_double(
    start_gateway: StartGateway, sink: SnsSink, way: str, profile_service: ProfileService
) -> None:
    envoy = start_gateway(way, sink.address)
    cpu = CpuWatch([envoy.pid, profile_service.pid])
    count = int(RATE * SECONDS)
    result = run_load(envoy.address_of(), "PUT", "/mockbin/profile", count, RATE)
    taken = cpu.cores_taken_by_others()
    print(
        f"\n{way}: {result.rate:,.0f} requests/s for {result.seconds:.1f} s, "
        f"median {result.median_ms:.2f} ms, p99 {result.p99_ms:.2f} ms; other programs took {taken:.2f} cores"
    )
    assert result.statuses == {200: count}
    wait_for(lambda: sum(sink.stored.values()) >= count or _dropped(envoy.metrics()), f"{count} events", 30)

    assert _dropped(envoy.metrics()) == {}
    assert sink.marks == set(range(count)), "an event of every request"
    assert len(sink.stored) == count, "an id of its own for every event"
    assert sum(sink.stored.values()) == count, "none came twice"
    wait_for(lambda: envoy.metric("retrohook_events_published_total") == count, "all acknowledgements to be counted")
    print(f"{way}: {sink.request_count:,} calls, {count / sink.request_count:.1f} events in each")

    if result.rate < RATE * TOLERANCE and taken > MOST_TAKEN:
        pytest.skip(f"all arrived, but at {result.rate:,.0f}/s: other programs took {taken:.2f} cores")
    assert result.rate >= RATE * TOLERANCE, "the gateway did not keep up"


def _dropped(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if "dropped" in name and value}
