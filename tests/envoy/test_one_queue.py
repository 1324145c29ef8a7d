"""All workers of a process share one queue for each target: one order, full calls, one bound.

The client sends one request at a time, each on a connection of its own, so that the workers take turns and the order in which
exchanges end is known.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rig.envoy import Envoy
from rig.gateway import StartGateway
from rig.http import send
from rig.lives import ReloadableGateway, trap
from rig.load import run_load
from rig.sns_answers import Answer, acknowledge, error, slow
from rig.sns_request import SnsRequest
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

WORKERS = 4
OUTAGE = "delivery fails and will be tried again"
ENTITY = "/mockbin/7/profile"
FIFO_TOPIC = "arn:aws:sns:us-east-1:123456789012:profiles.fifo"
BY_ENTITY: dict[str, Any] = {
    "topic_arn": FIFO_TOPIC,
    "routes": [{"method": "PUT", "matcher": "^/mockbin/(?P<id>[0-9]+)/profile$", "message_group_id": "${path.id}"}],
}


class OrderedSink(SnsSink):
    """Remembers the order in which events were first stored."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[int] = []
        self._seen: set[int] = set()

    def answer(self, request: SnsRequest) -> Answer:
        known = len(self.marks)
        answer = super().answer(request)
        if len(self.marks) > known:
            stored = (each.mark for each in request.summaries if each.entry_id in answer.stored)
            self.order += [mark for mark in stored if mark is not None and mark not in self._seen]
            self._seen.update(self.order[-len(request.summaries) :])
        return answer


@pytest.fixture
def ordered_sink() -> Iterator[OrderedSink]:
    with OrderedSink() as sink:
        yield sink


def late(order: list[int]) -> list[int]:
    """The events that came behind a newer one."""
    newest = -1
    overtaken = []
    for mark in order:
        if mark < newest:
            overtaken.append(mark)
        newest = max(newest, mark)
    return overtaken


def update(envoy: Envoy, mark: int) -> int:
    """Returns the status; 0 if the gateway hung up, as it does where a listener is drained or a VM is dead."""
    try:
        return send(envoy.address_of(), "PUT", f"{ENTITY}?mark={mark}").status
    except OSError:
        return 0


@contextmanager
def updates_one_by_one(envoy: Envoy) -> Iterator[list[int]]:
    """Updates one entity until the end of the block; the list has the numbers of those that were answered 200."""
    answered: list[int] = []
    done = threading.Event()

    def client() -> None:
        mark = 0
        while not done.is_set():
            if update(envoy, mark) == 200:
                answered.append(mark)
            mark += 1

    thread = threading.Thread(target=client)
    thread.start()
    try:
        yield answered
    finally:
        done.set()
        thread.join()


def wait_for_more(answered: list[int], count: int) -> None:
    goal = len(answered) + count
    wait_for(lambda: len(answered) >= goal, f"{count} more answers")


def test_one_entity_s_events_arrive_in_the_order_of_its_exchanges(
    start_gateway: StartGateway, ordered_sink: OrderedSink, way: str
) -> None:
    envoy = start_gateway(way, ordered_sink.address, workers=WORKERS, **BY_ENTITY)
    statuses = [update(envoy, mark) for mark in range(600)]
    assert statuses == [200] * 600
    wait_for(lambda: len(ordered_sink.order) == 600, "all events")
    assert late(ordered_sink.order) == []


def test_the_order_outlives_reloads_and_traps(
    start_gateway: StartGateway, ordered_sink: OrderedSink, way: str, tmp_path: Path
) -> None:
    ordered_sink.answers = slow(0.2)
    gateway = ReloadableGateway(
        start_gateway, tmp_path, way, ordered_sink.address, may_trap=True, workers=WORKERS, **BY_ENTITY
    )
    envoy = gateway.envoy
    with updates_one_by_one(envoy) as answered:
        for reload in range(1, 11):
            wait_for_more(answered, 60)
            gateway.reload(attributes={"reload": str(reload)})
            if reload % 3 == 0:
                trap(envoy, f"/mockbin/{reload}/nothing")
        wait_for_more(answered, 60)
    wait_for(lambda: envoy.metric("retrohook_queued_entries") == 0, "the queue to drain")
    # As an HTTP filter a dead VM lets nothing through; as an access logger it lets everything through unobserved.
    if way == "http-filter":
        wait_for(lambda: set(answered) <= set(ordered_sink.order), "an event of each answer")

    print(f"{way}: {len(answered)} answered, {len(ordered_sink.order)} events, {len(late(ordered_sink.order))} late")
    assert len(ordered_sink.order) > 500
    assert late(ordered_sink.order) == []


@pytest.mark.parametrize(("workers", "rate", "fill"), [(4, 200, 8.0), (16, 200, 8.0), (16, 50, 4.5)])
def test_the_events_of_all_workers_fill_one_call(
    start_gateway: StartGateway, sink: SnsSink, way: str, workers: int, rate: int, fill: float
) -> None:
    """A machine that is busy makes calls fuller, never emptier."""
    envoy = start_gateway(way, sink.address, workers=workers)
    count = 3 * rate
    result = run_load(envoy.address_of(), "PUT", "/mockbin/profile", count, rate, connections=64)
    assert result.statuses == {200: count}
    wait_for(lambda: len(sink.stored) == count, "all events")
    print(f"{way}: {count / sink.request_count:.1f} events in a call")
    assert count / sink.request_count >= fill


def test_the_bound_is_the_process_s(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    """Whatever the number of workers, and each event over the bound has a letter."""
    sink.answers = slow(120)
    bound = 100
    envoy = start_gateway(way, sink.address, workers=WORKERS, queue={"max_entries": bound, "when_full": "drop_newest"})
    count = 400
    result = run_load(envoy.address_of(), "PUT", "/mockbin/profile", count, 400, connections=64)
    assert result.statuses == {200: count}
    dropped = "retrohook_events_dropped_queue_full_total"
    wait_for(lambda: envoy.metric(dropped) == count - bound, "the letters of all over the bound")
    assert envoy.metric("retrohook_queued_entries") == bound


def test_an_outage_has_one_line_of_the_process(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    """Not one of each worker."""
    sink.answers = error(503)
    envoy = start_gateway(way, sink.address, workers=WORKERS)
    result = run_load(envoy.address_of(), "PUT", "/mockbin/profile", 400, 400, connections=64)
    assert result.statuses == {200: 400}
    wait_for(lambda: OUTAGE in envoy.log(), "a line about it")
    sink.answers = acknowledge
    wait_for(lambda: len(sink.stored) == 400, "all events")
    assert envoy.log().count(OUTAGE) == 1, envoy.log()
