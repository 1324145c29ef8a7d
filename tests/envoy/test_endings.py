"""How exchanges end in real Envoy, and what routes and events make of it: gRPC, broken responses, clients that leave."""

import socket
from collections.abc import Iterator
from http.client import IncompleteRead
from typing import Any

import pytest
from h2.connection import H2Connection
from rig import http2
from rig.envoy_config import EnvoyConfig
from rig.gateway import StartGateway
from rig.http import leave, send
from rig.odd_service import OddService
from rig.sns_sink import SnsSink
from rig.waiting import wait_for


@pytest.fixture
def odd() -> Iterator[OddService]:
    with OddService() as service:
        yield service


def adjust_for(odd: OddService) -> Any:
    def adjust(config: EnvoyConfig) -> None:
        config.aim_service(odd.address)
        config.add_http2_cluster("grpc", odd.address)
        config.add_route("/grpc", "grpc")
        config.add_route("/timeout", timeout="0.4s")
        config.add_route("/idle", timeout="0s", idle_timeout="0.4s")
        config.add_route("/duration", timeout="0s", max_stream_duration={"max_stream_duration": "0.4s"})
        config.add_route("/retry", retry_policy={"retry_on": "reset", "num_retries": 2})
        config.add_route("/redirected", internal_redirect_policy={"redirect_response_codes": [307]})

    return adjust


def route(**changes: Any) -> list[dict[str, Any]]:
    return [{"method": ["PUT", "POST"], "matcher": "/profile", **changes}]


# In the order in which they are asked for; the last ones are successes.
GRPC = ["grpc-7", "head-7", "none", "reset", "grpc-0", "head-0"]


def call(gateway: tuple[str, int], kind: str) -> None:
    head = {":path": f"/grpc/{kind}/profile", "content-type": "application/grpc"}
    http2.exchange(gateway, head, b"\0\0\0\0\2{}")


def kinds(sink: SnsSink) -> list[tuple[str, Any]]:
    events = [entry.event for entry in sink.entries()]
    return [(event["request"]["uri"].split("/")[2], event["response"].get("grpc_status")) for event in events]


def test_of_grpc_only_status_0_is_a_success(start_gateway: StartGateway, sink: SnsSink, odd: OddService, way: str) -> None:
    envoy = start_gateway(way, sink.address, adjust=adjust_for(odd), routes=route())
    for kind in GRPC:
        call(envoy.address_of(), kind)
    sink.wait_for_events(2)
    # One worker's events stay in order: what came before the last one can no longer come.
    assert kinds(sink) == [("grpc-0", 0), ("head-0", 0)]
    wait_for(lambda: envoy.metric("retrohook_events_published_total") == 2, "two events")


def test_a_route_may_ask_for_other_statuses_of_grpc(
    start_gateway: StartGateway, sink: SnsSink, odd: OddService, way: str
) -> None:
    envoy = start_gateway(way, sink.address, adjust=adjust_for(odd), routes=route(grpc_status="*"))
    for kind in GRPC:
        call(envoy.address_of(), kind)
    sink.wait_for_events(len(GRPC))
    assert kinds(sink) == [("grpc-7", 7), ("head-7", 7), ("none", 2), ("reset", 2), ("grpc-0", 0), ("head-0", 0)]


@pytest.mark.parametrize("delivery", ["after_response", "before_response"])
def test_of_grpc_web_the_status_counts_that_envoy_moves_into_the_body(
    start_gateway: StartGateway, sink: SnsSink, odd: OddService, delivery: str
) -> None:
    """Where Envoy's own filter makes gRPC-Web of it, and Retrohook is behind that filter."""

    def adjust(config: EnvoyConfig) -> None:
        adjust_for(odd)(config)
        web = {"@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"}
        config.http_manager["http_filters"].insert(0, {"name": "envoy.filters.http.grpc_web", "typed_config": web})

    envoy = start_gateway("http-filter", sink.address, adjust=adjust, routes=route(delivery=delivery))
    for kind in ["grpc-7", "head-7", "none", "grpc-0", "head-0"]:
        head = {":path": f"/grpc/{kind}/profile", "content-type": "application/grpc-web+proto"}
        reply = http2.exchange(envoy.address_of(), head, b"\0\0\0\0\2{}")
        assert reply is not None and ("grpc-status" in reply.headers) == kind.startswith("head")
        assert reply.body.endswith(b"grpc-status:%b\r\n" % kind[-1:].encode()) == kind.startswith("grpc")
    sink.wait_for_events(2)
    assert kinds(sink) == [("grpc-0", 0), ("head-0", 0)]


def reset_stream(gateway: tuple[str, int], path: str) -> None:
    """Over HTTP/2: takes the head of the response, and resets the stream."""
    with socket.create_connection(gateway, timeout=10) as peer:
        connection = H2Connection()
        connection.initiate_connection()
        head = {":method": "PUT", ":scheme": "http", ":authority": "gateway", ":path": path}
        connection.send_headers(1, list(head.items()), end_stream=True)
        peer.sendall(connection.data_to_send())
        while b"half" not in peer.recv(65536):
            pass
        connection.reset_stream(1)
        peer.sendall(connection.data_to_send())
        # Envoy has seen it when it answers a ping that came after it.
        connection.ping(b"12345678")
        peer.sendall(connection.data_to_send())
        while b"12345678" not in peer.recv(65536):
            pass


# What breaks off: the path, and how Envoy's own word for it begins; none where it has none.
BROKEN = {
    "/mockbin/cut/profile": "upstream_reset_after_response_started",
    "/mockbin/cut-head/profile": "upstream_reset_after_response_started",
    "/timeout/stall/profile": "response_timeout",
    "/idle/stall/profile": "stream_idle_timeout",
    "/duration/stall/profile": "max_duration_timeout",
    "/mockbin/stall/profile?left": "downstream_remote_disconnect",
    "/mockbin/stall/profile?reset": None,
}


def break_off(gateway: tuple[str, int], odd: OddService) -> None:
    for path in BROKEN:
        if path.endswith("?left"):
            leave(gateway, "PUT", path, lambda: "/stall/profile?left" in odd.begun)
        elif path.endswith("?reset"):
            reset_stream(gateway, path)
        else:
            with pytest.raises(IncompleteRead):
                send(gateway, "PUT", path)


def test_a_response_that_broke_off_says_so_and_what_is_known_of_it_stays_true(
    start_gateway: StartGateway, sink: SnsSink, odd: OddService, way: str
) -> None:
    envoy = start_gateway(way, sink.address, adjust=adjust_for(odd), routes=route())
    break_off(envoy.address_of(), odd)
    assert send(envoy.address_of(), "PUT", "/retry/flaky/profile").status == 200
    sink.wait_for_events(len(BROKEN) + 1)
    events = {entry.event["request"]["uri"]: entry.event for entry in sink.entries()}
    assert events.keys() == {*BROKEN, "/retry/flaky/profile"}
    for path, word in BROKEN.items():
        event = events[path]
        assert event["response"]["complete"] is False, path
        assert event["response"].get("details", "").startswith(word or ""), path
        assert ("details" in event["response"]) == (word is not None), path
        assert (event["source"], event["upstream_status"]) == ("upstream", "200"), path
        assert event["latencies"].get("proxy") != -1, path
    whole = events["/retry/flaky/profile"]
    assert "complete" not in whole["response"] and "details" not in whole["response"]
    assert whole["source"] == "upstream" and whole["latencies"]["proxy"] >= 0


def test_a_route_may_ask_for_whole_responses_only(
    start_gateway: StartGateway, sink: SnsSink, odd: OddService, way: str
) -> None:
    envoy = start_gateway(way, sink.address, adjust=adjust_for(odd), routes=route(response_complete=True))
    gateway = envoy.address_of()
    break_off(gateway, odd)
    assert send(gateway, "PUT", "/mockbin/whole/profile").status == 200
    (entry,) = sink.wait_for_events(1)
    assert entry.event["request"]["uri"] == "/mockbin/whole/profile"
    wait_for(lambda: envoy.metric("retrohook_events_matched_total") == 1, "the counter")


def test_what_envoy_answers_by_itself_is_not_the_service_s(
    start_gateway: StartGateway, sink: SnsSink, odd: OddService, way: str
) -> None:
    envoy = start_gateway(way, sink.address, adjust=adjust_for(odd), routes=route(status="5xx"))
    for path in ("/timeout/hang/profile", "/idle/hang/profile"):
        assert send(envoy.address_of(), "PUT", path).status == 504
    for entry in sink.wait_for_events(2):
        event = entry.event
        assert "complete" not in event["response"] and "source" not in event and event["latencies"]["proxy"] == -1


def test_a_client_that_left_before_the_response_is_an_event_where_a_route_asks_for_it(
    start_gateway: StartGateway, sink: SnsSink, odd: OddService, way: str
) -> None:
    routes = [*route(matcher="/asked/profile", status=[0]), *route()]
    envoy = start_gateway(way, sink.address, adjust=adjust_for(odd), routes=routes)
    gateway = envoy.address_of()
    for path in ("/hang/profile", "/hang/asked/profile"):
        leave(gateway, "PUT", f"/mockbin{path}", lambda path=path: path in odd.begun)
    (entry,) = sink.wait_for_events(1)
    assert entry.event["request"]["uri"] == "/mockbin/hang/asked/profile"
    response = entry.event["response"]
    assert (response["status"], response["complete"]) == (0, False)
    assert response["details"] == "downstream_remote_disconnect"
    assert send(gateway, "PUT", "/mockbin/whole/profile").status == 200
    # By default there is none: this one would have come before.
    assert [each.event["response"]["status"] for each in sink.wait_for_events(2)] == [0, 200]


def test_a_redirect_that_envoy_follows_is_one_event_of_the_answer_that_the_client_got(
    start_gateway: StartGateway, sink: SnsSink, odd: OddService, way: str
) -> None:
    """Where the route matches both paths, and whatever statuses it asks for."""
    envoy = start_gateway(way, sink.address, adjust=adjust_for(odd), routes=route(matcher="profile|moved", status="*"))
    gateway = envoy.address_of()
    assert send(gateway, "PUT", "/redirected/moved/profile").status == 200
    assert send(gateway, "PUT", "/mockbin/whole/profile").status == 200
    events = [entry.event for entry in sink.wait_for_events(2)]
    assert [event["response"]["status"] for event in events] == [200, 200]
    # Envoy's filters and loggers see the request that it has become.
    assert [event["request"]["uri"] for event in events] == ["/mockbin/whole/moved", "/mockbin/whole/profile"]
