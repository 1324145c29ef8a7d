"""`delivery: before_response` in real Envoy: the client has its response once SNS has the event, and not before."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from rig import LOOPBACK
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import MISSION_PUT, StartGateway
from rig.http import Address, send, unused_address
from rig.http2 import send_together
from rig.load import LoadProcess, run_load
from rig.sns_answers import acknowledge, error, first, held, slow
from rig.sns_sink import SnsSink
from rig.waiting import PATIENCE, wait_for

WITHDRAWN = "retrohook_events_dropped_withdrawn_total"
UNDELIVERED = "retrohook_responses_undelivered_total"
PUBLISHED = "retrohook_events_published_total"

# The longest that there is. The client of the tests does not wait for so long: a response that it has did not wait for a timeout.
LONG = 60_000


def routes(on_failure: str = "pass") -> list[dict[str, Any]]:
    held = {"delivery": "before_response", "on_failure": on_failure}
    return [{"method": "PUT", "matcher": "/profile", **held}, {"method": "POST", "matcher": "/profile"}]


@pytest.fixture
def start(start_gateway: StartGateway) -> Callable[..., Envoy]:
    def with_settings(aws: Address, on_failure: str = "pass", **settings: Any) -> Envoy:
        return start_gateway("http-filter", aws, routes=routes(on_failure), **settings)

    return with_settings


def timed(envoy: Envoy, *request: Any) -> tuple[int, float]:
    begin = time.monotonic()
    status = send(envoy.address_of(), *(request or MISSION_PUT)).status
    return status, time.monotonic() - begin


def test_a_response_waits_for_its_event(start: Callable[..., Envoy], sink: SnsSink) -> None:
    sink.answers = slow(0.5)
    envoy = start(sink.address, timeout_ms=LONG)
    status, seconds = timed(envoy)
    assert status == 200 and seconds >= 0.5
    (entry,) = sink.entries()
    event = entry.event
    assert event["response"]["status"] == 200 and event["response"]["headers"]["x-seen-path"] == "/profile"
    assert event["request"]["uri"] == "/mockbin/profile" and event["request"]["headers"]["content-length"] == "13"
    assert event["source"] == "upstream" and event["upstream_status"] == "200" and event["route"]["name"] == "mockbin"
    # What is not over is not known.
    assert "size" not in event["response"] and "size" not in event["request"] and event["latencies"] == {}
    assert "upstream_uri" not in event
    # One event, and not one more at the end of the exchange.
    send(envoy.address_of(), "POST", "/mockbin/profile")
    sink.wait_for_events(2)
    assert list(sink.stored.values()) == [1, 1]
    assert [each.event["request"]["method"] for each in sink.entries()] == ["PUT", "POST"]


def test_at_low_load_it_waits_for_its_call_and_not_for_company(start: Callable[..., Envoy], sink: SnsSink) -> None:
    envoy = start(sink.address, batch={"max_delay_ms": LONG})
    result = run_load(envoy.address_of(), "PUT", "/mockbin/profile", 200, 50)
    print(f"median {result.median_ms:.2f} ms, p99 {result.p99_ms:.2f} ms")
    assert result.statuses == {200: 200}
    # Not for company: that would be a minute.
    assert result.p99_ms < LONG / 2
    assert sink.marks == set(range(200))


def test_what_does_not_match_flows(start: Callable[..., Envoy], sink: SnsSink) -> None:
    sink.answers = slow(3600)
    envoy = start(sink.address, timeout_ms=LONG)
    with ThreadPoolExecutor() as pool:
        held = pool.submit(timed, envoy)
        wait_for(lambda: sink.request_count == 1, "the event to be under way")
        for request in [
            ("GET", "/mockbin/profile"),
            ("PUT", "/mockbin/other"),
            ("PUT", "/mockbin/profile?status=503"),
            ("POST", "/mockbin/profile"),
        ]:
            send(envoy.address_of(), *request)
        assert not held.done(), "it waits for as long as the call may take, and the others do not"
        sink.answers = acknowledge
        sink.stop_connections()
        assert held.result()[0] == 200


def test_many_that_wait_share_calls(start: Callable[..., Envoy], sink: SnsSink) -> None:
    gate = threading.Event()
    sink.answers = held(gate)
    envoy = start(sink.address, max_in_flight=1, timeout_ms=LONG)
    load = LoadProcess(envoy.address_of(), "PUT", "/mockbin/profile", 100, 2_000, connections=100)
    wait_for(lambda: envoy.metric("retrohook_events_matched_total") == 100, "all to wait")
    gate.set()
    assert load.result().statuses == {200: 100}
    assert sink.marks == set(range(100)) and set(sink.stored.values()) == {1}
    assert sink.request_count <= 11, "the first by itself or with few, the others ten by ten"


def test_each_of_many_has_its_response(start: Callable[..., Envoy], sink: SnsSink) -> None:
    sink.answers = slow(0.05)
    envoy = start(sink.address, timeout_ms=LONG)
    result = run_load(envoy.address_of(), "PUT", "/mockbin/profile", 1_000, 2_000, connections=100)
    assert result.statuses == {200: 1_000}
    assert sink.marks == set(range(1_000)) and set(sink.stored.values()) == {1}


@pytest.mark.parametrize(("on_failure", "expected"), [("pass", 200), ("fail", 503)])
def test_after_the_timeout(start: Callable[..., Envoy], sink: SnsSink, on_failure: str, expected: int) -> None:
    sink.answers = slow(3600)
    envoy = start(sink.address, on_failure, timeout_ms=500)
    status, seconds = timed(envoy)
    assert status == expected and seconds >= 0.45
    wait_for(lambda: envoy.metric(UNDELIVERED) == 1, "the counter")
    if on_failure == "fail":
        wait_for(lambda: envoy.metric(WITHDRAWN) == 1, "it to be withdrawn")
        wait_for(lambda: '"reason":"withdrawn"' in envoy.log(), "the dead letter")
        assert envoy.metric("retrohook_queued_entries") == 0
    else:
        sink.answers = acknowledge
        wait_for(lambda: envoy.metric(PUBLISHED) == 1, "it to be delivered later")


def test_a_failure_that_passes_is_tried_again_while_it_waits(start: Callable[..., Envoy], sink: SnsSink) -> None:
    sink.answers = first(2, error(500))
    envoy = start(sink.address, "fail")
    assert timed(envoy)[0] == 200
    assert list(sink.stored.values()) == [1]


@pytest.mark.parametrize(("on_failure", "expected"), [("pass", 200), ("fail", 503)])
def test_a_refusal_for_good_is_known_at_once(
    start: Callable[..., Envoy], sink: SnsSink, on_failure: str, expected: int
) -> None:
    sink.answers = error(400, "InvalidParameter")
    envoy = start(sink.address, on_failure, timeout_ms=LONG)
    reply = send(envoy.address_of(), *MISSION_PUT)
    assert reply.status == expected
    assert (reply.body == b"the event of this request was not delivered\n") == (expected == 503)
    wait_for(lambda: envoy.metric("retrohook_events_dropped_refused_total") == 1, "the counter")


@pytest.mark.parametrize(("on_failure", "expected"), [("pass", 200), ("fail", 503)])
def test_nothing_waits_for_a_service_that_is_known_to_be_down(
    start: Callable[..., Envoy], on_failure: str, expected: int
) -> None:
    nobody = unused_address()
    envoy = start(nobody, on_failure, timeout_ms=LONG)
    statuses, seconds = zip(*(timed(envoy) for _ in range(40)), strict=True)
    assert set(statuses) == {expected}
    # The first find out, and then one at a time is a probe; none waits for the timeout, or the client had given up.
    print(f"{on_failure}: {sum(seconds):.2f} s for 40 requests")
    with SnsSink(port=nobody[1]) as sink:
        wait_for(lambda: timed(envoy)[0] == 200 and len(sink.stored) > 0, "the service to be found to be back")
        if on_failure == "pass":
            sink.wait_for_events(41)
        else:
            wait_for(lambda: envoy.metric(PUBLISHED) == len(sink.stored), "the counter")
            wait_for(lambda: envoy.metric(WITHDRAWN) >= 40, "the others to be withdrawn")


def test_a_client_that_leaves_while_it_waits(start: Callable[..., Envoy], sink: SnsSink) -> None:
    sink.answers = slow(1)
    envoy = start(sink.address)
    for number in range(20):
        with socket.create_connection(envoy.address_of()) as client:
            client.sendall(b"PUT /mockbin/profile?n=%d HTTP/1.1\r\nhost: gateway\r\ncontent-length: 0\r\n\r\n" % number)
            matched = number + 1
            wait_for(lambda: envoy.metric("retrohook_events_matched_total") == matched, "it to wait")
    sink.wait_for_events(20)
    wait_for(lambda: envoy.metric(PUBLISHED) == 20, "all to be acknowledged")
    assert set(sink.stored.values()) == {1}
    assert timed(envoy)[0] == 200
    assert envoy.metric("retrohook_callouts_no_reply_total") == 0, "a reply outlives the request that it was for"


@pytest.mark.parametrize(("on_failure", "expected"), [("pass", 200), ("fail", 503)])
def test_http_2(start: Callable[..., Envoy], sink: SnsSink, on_failure: str, expected: int) -> None:
    envoy = start(sink.address, on_failure, timeout_ms=LONG)
    gateway = envoy.address_of()
    assert send_together(gateway, "PUT", "/mockbin/profile", 100) == [200] * 100
    assert len(sink.stored) == 100
    sink.answers = error(400, "InvalidParameter")
    assert send_together(gateway, "PUT", "/mockbin/profile", 20) == [expected] * 20
    sink.answers = acknowledge
    assert send_together(gateway, "PUT", "/mockbin/profile", 1) == [200]


@pytest.mark.parametrize(("on_failure", "status"), [("pass", 200), ("fail", 503)])
def test_a_crowd_whose_events_are_late_goes_on_and_the_vm_lives(
    start: Callable[..., Envoy], sink: SnsSink, on_failure: str, status: int
) -> None:
    sink.answers = slow(30.0)
    envoy = start(sink.address, on_failure, timeout_ms=5_000, adjust=EnvoyConfig.unbound_streams)
    assert send_together(envoy.address_of(), "PUT", "/mockbin/profile", 1_000, timeout=40.0) == [status] * 1_000
    envoy.assert_no_trap()
