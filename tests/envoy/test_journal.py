"""What kills a queue in a running Envoy: ten changes of the configuration under load, and traps under load. Every event that was
accepted arrives; only what was in flight may come twice. What nobody can send any more has a dead letter.
"""

from pathlib import Path

import pytest
from rig.envoy import Envoy
from rig.gateway import StartGateway
from rig.lives import ReloadableGateway, let_trap, trap, traps
from rig.load import LoadProcess, LoadResult
from rig.sns_answers import error, slow
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

pytestmark = pytest.mark.own_process

RATE = 500

# More than a load generator sends before it is told to finish.
ENDLESS = 1_000_000
QUEUED = "retrohook_queued_entries"


def twice(sink: SnsSink) -> int:
    return sum(sink.stored.values()) - len(sink.stored)


def wait_until_drained(envoy: Envoy) -> None:
    wait_for(lambda: envoy.metric(QUEUED) == 0, "the queues to drain")


def test_ten_reloads_under_load_lose_nothing(
    start_gateway: StartGateway, sink: SnsSink, way: str, tmp_path: Path
) -> None:
    sink.answers = slow(0.3)
    gateway = ReloadableGateway(start_gateway, tmp_path, way, sink.address, workers=2)
    envoy = gateway.envoy

    def configurations() -> set[str]:
        """Those whose events have come of late."""
        return {value for entry in sink.entries() for _, value in [entry.attributes.get("reload", ("", ""))]}

    load = LoadProcess(envoy.address_of(), "PUT", "/mockbin/profile", ENDLESS, RATE)
    for reload in range(1, 11):
        before = len(sink.marks)
        wait_for(lambda: len(sink.marks) >= before + RATE // 2, "events between two reloads")
        gateway.reload(attributes={"reload": str(reload)})
    wait_for(lambda: "10" in configurations(), "an event of the last configuration")
    result = load.finish()
    wait_until_drained(envoy)

    assert result.statuses.keys() <= {200, 0}, "Envoy may end a connection that it drains"
    answered = result.statuses[200]
    print(f"{way}: {result.statuses}, {len(sink.marks)} events, {twice(sink)} twice")
    assert len(sink.marks) >= answered > 4 * RATE
    assert "retrohook-dead-letter" not in envoy.log(), "a filter that is replaced writes no letters"


def start_trapping(start_gateway: StartGateway, sink: SnsSink, way: str, workers: int) -> Envoy:
    return start_gateway(way, sink.address, adjust=let_trap, workers=workers)


def test_traps_under_load_lose_nothing(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    sink.answers = error(503)
    envoy = start_trapping(start_gateway, sink, way, workers=2)
    load = LoadProcess(envoy.address_of(), "PUT", "/mockbin/profile", 8 * RATE, RATE)
    for count in (1, 2, 3):
        wait_for(lambda: envoy.metric("retrohook_events_matched_total") >= count * RATE, "matched events")
        trap(envoy)
    result = load.result()
    matched = envoy.metric("retrohook_events_matched_total")
    sink.answers = slow(0)
    wait_until_drained(envoy)

    reloads = traps(envoy)
    print(f"{way}: {result.statuses}, {len(sink.marks)} events, {twice(sink)} twice")
    assert reloads >= 3
    # What was accepted since a worker's last tick may not have been counted when its VM died.
    assert len(sink.marks) >= matched
    assert twice(sink) == 0, "nothing was stored while the VMs died"
    check_observed(way, result, sink)


def check_observed(way: str, result: LoadResult, sink: SnsSink) -> None:
    """As an HTTP filter a dead VM lets nothing through; as an access logger it lets everything through unobserved."""
    if way == "http-filter":
        assert len(sink.marks) == result.statuses[200]
    else:
        assert result.statuses == {200: 8 * RATE}


def test_the_queue_of_a_vm_that_no_request_brings_back_is_sent_by_the_main_thread_s(
    start_gateway: StartGateway, sink: SnsSink, way: str
) -> None:
    """Envoy makes a new VM when the next request comes."""
    sink.answers = error(503)
    envoy = start_trapping(start_gateway, sink, way, workers=1)
    load = LoadProcess(envoy.address_of(), "PUT", "/mockbin/profile", 200, RATE)
    assert load.result().statuses == {200: 200}
    trap(envoy)
    sink.answers = slow(0)
    wait_for(lambda: len(sink.marks) == 200, "all events")
    wait_until_drained(envoy)
    assert "wasm.retrohook.vm_reload_success: 0" in envoy.admin_get("/stats?filter=vm_reload")
    assert (traps(envoy), twice(sink)) == (1, 0)


def test_a_change_of_topic_and_a_trap_lose_nothing(
    start_gateway: StartGateway, sink: SnsSink, way: str, tmp_path: Path
) -> None:
    """The old filter goes on in the main thread's VM, which no request can trap, until its queue is empty."""
    sink.answers = error(503)
    gateway = ReloadableGateway(start_gateway, tmp_path, way, sink.address, may_trap=True, workers=1)
    envoy = gateway.envoy
    load = LoadProcess(envoy.address_of(), "PUT", "/mockbin/profile", 100, RATE)
    assert load.result().statuses == {200: 100}
    wait_for(lambda: envoy.metric(QUEUED) == 100, "the gauge")

    other = "arn:aws:sns:us-east-1:123456789012:other"
    gateway.reload(topic_arn=other)
    # A request may still come to the old listener for a moment, and that is one of its events, too.
    trap(envoy)
    sink.answers = slow(0)
    wait_for(lambda: envoy.metric(QUEUED) == 0, "the gauge to come down", 120)

    wait_for(lambda: sink.marks == set(range(100)), "the events of the old topic")
    # Of the last requests the sink knows everything: a trap's own request may be an event of the new topic.
    marked = [request for request in sink.requests if any(each.mark is not None for each in request.summaries)]
    assert other not in {request.parameters["TopicArn"] for request in marked}, "each goes to the topic that it was for"
    assert "retrohook-dead-letter" not in envoy.log()
