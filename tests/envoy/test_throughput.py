"""Matching requests through one worker, offered at 5,000 a second: every event is acknowledged, none is lost, none comes twice.

The rate that was reached is printed (`pytest -s`) and not asserted: it is the machine's, which the load generator, the service and
the sink share with the gateway. RETROHOOK_LOAD_SECONDS makes it longer: 20 are 100,000 requests.
"""

import os

import pytest
from rig.envoy import Envoy
from rig.gateway import StartGateway
from rig.load import LoadResult, run_load
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

pytestmark = pytest.mark.own_process

RATE = 5_000
SECONDS = float(os.environ.get("RETROHOOK_LOAD_SECONDS", "4"))


def test_none_lost_none_double(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    envoy = start_gateway(way, sink.address, queue={"max_entries": 1_000_000, "max_bytes": 268_435_456}, timeout_ms=60_000)
    print(f"{way}: {describe(send_and_account(envoy, sink))}")


def send_and_account(envoy: Envoy, sink: SnsSink) -> LoadResult:
    count = int(RATE * SECONDS)
    result = run_load(envoy.address_of(), "PUT", "/mockbin/profile", count, RATE)
    assert result.statuses == {200: count}
    wait_for(lambda: sum(sink.stored.values()) >= count or dropped(envoy.metrics()), f"{count} events")

    assert dropped(envoy.metrics()) == {}
    assert sink.marks == set(range(count)), "an event of every request"
    assert len(sink.stored) == count, "an id of its own for every event"
    assert sum(sink.stored.values()) == count, "none came twice"
    wait_for(lambda: envoy.metric("retrohook_events_published_total") == count, "all acknowledgements to be counted")
    return result


def dropped(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if "dropped" in name and value}


def describe(result: LoadResult) -> str:
    return (
        f"{result.rate:,.0f} requests/s for {result.seconds:.1f} s, "
        f"median {result.median_ms:.2f} ms, p99 {result.p99_ms:.2f} ms"
    )
