"""The HTTP filter and the access logger at once, as while moving from one to the other, and two filters in one chain."""

import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rig.envoy_config import EnvoyConfig
from rig.gateway import StartGateway
from rig.http import send
from rig.http2 import send_together
from rig.lives import ReloadableGateway, trap
from rig.odd_service import OddService
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

TWICE = "is published TWICE"
ONCE = "an exchange came to two filters"


def logger_in_the_same_vm(config: EnvoyConfig) -> None:
    config.add_the_other_way("retrohook")


@pytest.mark.parametrize("adjust", [logger_in_the_same_vm, EnvoyConfig.add_filter_again])
@pytest.mark.parametrize("delivery", ["after_response", "before_response"])
def test_an_exchange_is_one_event_and_the_log_says_so_once(
    start_gateway: StartGateway, sink: SnsSink, adjust: Callable[[EnvoyConfig], None], delivery: str
) -> None:
    routes = [{"method": "PUT", "matcher": "/profile", "delivery": delivery}]
    envoy = start_gateway("http-filter", sink.address, adjust=adjust, routes=routes, trust_original_path=True)
    gateway = envoy.address_of()
    # Equal requests in one packet are exchanges of their own.
    assert send_together(gateway, "PUT", "/mockbin/profile?mark=0", 50) == [200] * 50
    for number in range(1, 21):
        assert send(gateway, "PUT", f"/mockbin/profile?mark={number}").status == 200
    sink.wait_for_events(70)
    assert len(sink.entries()) == 70 and sink.marks == set(range(21))
    for what in ("matched", "published"):
        wait_for(lambda what=what: envoy.metric(f"retrohook_events_{what}_total") == 70, f"the counter of {what}")
    assert (envoy.log().count(ONCE), envoy.log().count(TWICE)) == (1, 0)


def test_a_retried_and_a_redirected_exchange_are_one_event_each(start_gateway: StartGateway, sink: SnsSink) -> None:
    """Whatever statuses the route asks for: what the gateway has tried and followed by itself is no answer to a client."""
    with OddService() as odd:

        def adjust(config: EnvoyConfig) -> None:
            config.aim_service(odd.address)
            config.add_route("/redirected", internal_redirect_policy={"redirect_response_codes": [307]})
            config.add_route("/retried", retry_policy={"retry_on": "reset,5xx", "num_retries": 3})
            logger_in_the_same_vm(config)

        routes = [{"method": "PUT", "matcher": "profile|moved", "status": "*"}]
        envoy = start_gateway("http-filter", sink.address, adjust=adjust, routes=routes, trust_original_path=True)
        gateway = envoy.address_of()
        for number in range(5):
            assert send(gateway, "PUT", f"/redirected/moved/profile?n={number}").status == 200
            assert send(gateway, "PUT", f"/retried/flaky/profile?n={number}").status == 200
        assert len(odd.begun) == 20, "each came to the service twice"
        sink.wait_for_events(10)
        for what in ("matched", "published"):
            wait_for(lambda what=what: envoy.metric(f"retrohook_events_{what}_total") == 10, f"the counter of {what}")
    uris = Counter(entry.event["request"]["uri"].partition("?")[0] for entry in sink.entries())
    assert uris == {"/mockbin/whole/moved": 5, "/retried/flaky/profile": 5}
    assert {entry.event["response"]["status"] for entry in sink.entries()} == {200}
    assert (envoy.log().count(ONCE), envoy.log().count(TWICE)) == (1, 0)


def test_where_the_vms_differ_the_log_says_that_events_come_twice(start_gateway: StartGateway, sink: SnsSink) -> None:
    envoy = start_gateway(
        "http-filter", sink.address, adjust=lambda config: config.add_the_other_way("another"), trust_original_path=True
    )
    assert send(envoy.address_of(), "PUT", "/mockbin/profile").status == 200
    sink.wait_for_events(2)
    wait_for(lambda: TWICE in envoy.log(), "the line")


def test_one_way_alone_needs_no_word(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    envoy = start_gateway(way, sink.address)
    assert send_together(envoy.address_of(), "PUT", "/mockbin/profile", 50) == [200] * 50
    sink.wait_for_events(50)
    assert ONCE not in envoy.log() and TWICE not in envoy.log()


def test_an_exchange_is_one_event_across_reloads_and_traps(
    start_gateway: StartGateway, sink: SnsSink, tmp_path: Path
) -> None:
    gateway = ReloadableGateway(
        start_gateway, tmp_path, "http-filter", sink.address, may_trap=True, adjust=logger_in_the_same_vm,
        trust_original_path=True, workers=2,
    )  # fmt: skip
    sent: list[int] = []
    marks, ends = itertools.count(), threading.Event()

    def put() -> None:
        while not ends.is_set():
            mark = next(marks)
            # One that comes to a VM that has just trapped may be refused.
            with contextlib.suppress(OSError):
                if send(gateway.envoy.address_of(), "PUT", f"/mockbin/profile?mark={mark}").status == 200:
                    sent.append(mark)
            time.sleep(0.005)

    with ThreadPoolExecutor(4) as clients:
        running = [clients.submit(put) for _ in range(4)]
        for number in range(4):
            gateway.reload(attributes={"number": str(number)})
            if number % 2:
                trap(gateway.envoy, "/elsewhere")
        ends.set()
    assert all(each.exception() is None for each in running)
    wait_for(lambda: set(sent) <= sink.marks, "an event of each")
    # Both filters saw it all, so that a second event of one exchange would have come with the first.
    events = {(entry.event["request"]["querystring"]["mark"], entry.attributes["event_id"]) for entry in sink.entries()}
    assert max(Counter(mark for mark, _ in events).values()) == 1
    assert TWICE not in gateway.envoy.log()
