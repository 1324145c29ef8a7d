"""`delivery: before_response` in real Envoy, whatever the form of the response: no byte of it passes while its event is on the way."""

import http.client
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import StartGateway
from rig.http import Reply, exchange_raw, send
from rig.http2 import exchange
from rig.lives import let_trap
from rig.scripted_service import HTTP_1, HTTP_2, ScriptedService, speak_http_1, speak_http_2
from rig.sns_answers import Answers, acknowledge, error, slow
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

UNHELD = "retrohook_responses_unheld_total"
HELD = {"matcher": "/profile", "delivery": "before_response"}
ROUTES = [{"method": "PUT", **HELD, "on_failure": "fail"}, {"method": "POST", **HELD, "on_failure": "pass"}]

# Half a second, in which a response that does not wait has long come.
WAITS = 0.5

StartHolding = Callable[..., Envoy]


@pytest.fixture(params=[False, True], ids=["holding-all", "giving-bodies"])
def start_holding(request: pytest.FixtureRequest, start_gateway: StartGateway) -> Iterator[StartHolding]:
    """Starts Envoys that hold all of a message whose head is held, or give its body to the filter (as a capture needs it)."""
    services = {1: ScriptedService(speak_http_1), 2: ScriptedService(speak_http_2)}

    def start(sink: SnsSink, version: int, adjust: Callable[[EnvoyConfig], None] = lambda _: None, **settings: int) -> Envoy:
        def adjust_all(config: EnvoyConfig) -> None:
            aim = config.aim_service if version == 1 else config.aim_service_with_http_2
            aim(services[version].address)
            if request.param:
                config.give_bodies_of_held()
            adjust(config)

        return start_gateway("http-filter", sink.address, routes=ROUTES, adjust=adjust_all, **settings)

    yield start
    for service in services.values():
        service.stop()


def ask(envoy: Envoy, method: str, kind: str) -> tuple[Reply, float]:
    """The reply to a request for a response of this kind, and the seconds until its end."""
    begin = time.monotonic()
    path = f"/mockbin/profile/{kind}"
    if kind in HTTP_1:
        head = f"{method} {path} HTTP/1.1\r\nhost: gateway\r\n\r\n"
        reply = exchange_raw(envoy.address_of(), head.encode())
    else:
        content_type = "application/grpc" if kind.startswith("grpc") else "text/plain"
        reply = exchange(envoy.address_of(), {":method": method, ":path": path, "content-type": content_type})
    assert reply is not None
    return reply, time.monotonic() - begin


def assert_whole(reply: Reply, kind: str) -> None:
    assert reply.status == 200
    if kind in HTTP_1:
        assert reply.body == (b"" if kind == "empty" else b"wholebody")
    else:
        body, (name, value) = HTTP_2[kind]
        assert reply.body == body and reply.headers[name] == value


def assert_refused(reply: Reply, kind: str) -> None:
    if kind.startswith("grpc"):
        # A 503 for a client that speaks gRPC: UNAVAILABLE. Where the status comes behind a message, that has gone, and the
        # client is told so in place of the service's status.
        message, _ = HTTP_2[kind]
        assert (reply.status, reply.headers["grpc-status"], reply.body) == (200, "14", message)
    else:
        assert (reply.status, reply.body) == (503, b"the event of this request was not delivered\n")


KINDS = [(1, HTTP_1), (2, HTTP_2)]


@pytest.mark.parametrize(("version", "kinds"), KINDS, ids=["http-1", "http-2"])
def test_every_form_of_response_waits_and_then_is_whole(
    start_holding: StartHolding, sink: SnsSink, version: int, kinds: dict[str, object]
) -> None:
    sink.answers = slow(WAITS)
    envoy = start_holding(sink, version)
    for number, (method, kind) in enumerate((method, kind) for method in ("PUT", "POST") for kind in kinds):
        reply, seconds = ask(envoy, method, kind)
        assert_whole(reply, kind)
        assert seconds >= WAITS and len(sink.stored) == number + 1, f"{method} {kind}"
    assert envoy.metric(UNHELD) == 0


@pytest.mark.parametrize(("version", "kinds"), KINDS, ids=["http-1", "http-2"])
@pytest.mark.parametrize("answers", [slow(3600), error(500)], ids=["hangs", "fails"])
def test_no_form_of_response_passes_whose_event_does_not_arrive(
    start_holding: StartHolding, sink: SnsSink, version: int, kinds: dict[str, object], answers: Answers
) -> None:
    sink.answers = answers
    envoy = start_holding(sink, version, timeout_ms=500)
    for kind in kinds:
        assert_refused(ask(envoy, "PUT", kind)[0], kind)
        assert_whole(ask(envoy, "POST", kind)[0], kind)
    assert envoy.metric(UNHELD) == 0
    sink.forget()
    # What comes of the service after a refusal does not follow it, and the next exchange is in order.
    sink.answers = acknowledge
    kind = next(iter(kinds))
    wait_for(lambda: ask(envoy, "PUT", kind)[0].status == 200 and len(sink.stored) > 0, "SNS to be taken for healthy")


def test_a_response_beyond_the_buffer(start_holding: StartHolding, sink: SnsSink, request: pytest.FixtureRequest) -> None:
    body = b"x" * 200_000
    gives_bodies = "giving-bodies" in request.node.name

    def speak(connection: socket.socket) -> None:
        while connection.recv(65536):
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    service = ScriptedService(speak)
    sink.answers = slow(WAITS)
    envoy = start_holding(sink, 1, lambda config: config.aim_service(service.address))
    reply, seconds = ask(envoy, "PUT", "sized")
    sink.wait_for_events(1)
    if gives_bodies:
        # Envoy keeps what a filter holds of a body, and has no room for it.
        assert reply.status == 500
        wait_for(lambda: "leave `allow_on_headers_stop_iteration` out" in envoy.log(), "the reason")
    else:
        assert (reply.status, reply.body) == (200, body) and seconds >= WAITS
    assert envoy.metric(UNHELD) == 0
    service.stop()


def test_a_stream_of_events_begins_when_its_event_is_stored_and_goes_on(start_holding: StartHolding, sink: SnsSink) -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(1_000):
            connection.sendall(b"7\r\n%07d\r\n" % number)
            time.sleep(0.05)

    service = ScriptedService(speak)
    sink.answers = slow(WAITS)
    envoy = start_holding(sink, 1, lambda config: config.aim_service(service.address))
    begin = time.monotonic()
    with socket.create_connection(envoy.address_of(), timeout=20) as client:
        client.sendall(b"PUT /mockbin/profile HTTP/1.1\r\nhost: gateway\r\n\r\n")
        response = http.client.HTTPResponse(client)
        response.begin()
        assert time.monotonic() - begin >= WAITS and len(sink.stored) == 1
        assert response.read(7 * 31) == b"".join(b"%07d" % number for number in range(31))
    service.stop()


@pytest.mark.parametrize("kind", ["empty", "chunked"])
def test_a_response_whose_vm_traps_is_answered_when_its_route_is_idle_for_too_long(
    start_holding: StartHolding, sink: SnsSink, kind: str
) -> None:
    sink.answers = slow(3600)

    def adjust(config: EnvoyConfig) -> None:
        let_trap(config)
        # Longer than the timeout of a call in the file that is shipped, and longer than the service may take.
        (route,) = config.http_manager["route_config"]["virtual_hosts"][0]["routes"]
        timeout = route["route"]["idle_timeout"]
        assert float(timeout.removesuffix("s")) > 15
        route["route"]["idle_timeout"] = "2s"

    envoy = start_holding(sink, 1, adjust, timeout_ms=1_000)
    with socket.create_connection(envoy.address_of(), timeout=20) as client:
        client.sendall(b"PUT /mockbin/profile/%b HTTP/1.1\r\nhost: gateway\r\n\r\n" % kind.encode())
        wait_for(lambda: sink.request_count == 1, "its event to be under way")
        begin = time.monotonic()
        sink.answers = acknowledge
        send(envoy.address_of(), "GET", "/mockbin/profile/empty", {"x-retrohook-trap": "1"})
        head = client.recv(65536)
    assert head.startswith((b"HTTP/1.1 504", b"HTTP/1.1 503")), head
    assert time.monotonic() - begin < 3
    # Nobody knows whether the event arrived. It is in the journal, and does.
    sink.wait_for_events(1)


# Heads that are no response yet, or that nothing follows, each with what a client sees of it at once.
BODILESS = {
    "early-hints": (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    "204": (b"", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "304": (b"", b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n"),
    "websocket": (
        b"connection: upgrade\r\nupgrade: websocket\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello",
    ),
}


@pytest.mark.parametrize("delivery", ["after_response", "before_response"])
@pytest.mark.parametrize("gives_bodies", [False, True])
def test_what_has_no_body_waits_too_and_its_event_is_of_a_whole_response(
    start_gateway: StartGateway, sink: SnsSink, delivery: str, gives_bodies: bool
) -> None:
    def speak(connection: socket.socket) -> None:
        while head := connection.recv(65536):
            path = head.split(b" ", 2)[1].decode()
            connection.sendall(BODILESS[path.rsplit("/", 1)[-1]][1])

    service = ScriptedService(speak)

    def adjust(config: EnvoyConfig) -> None:
        config.aim_service(service.address)
        config.http_manager["proxy_100_continue"] = True
        config.http_manager["upgrade_configs"] = [{"upgrade_type": "websocket"}]
        if gives_bodies:
            config.give_bodies_of_held()

    routes = [{"method": ["GET", "HEAD"], "matcher": "/profile", "status": ["2xx", 101, 304], "delivery": delivery}]
    envoy = start_gateway("http-filter", sink.address, adjust=adjust, routes=routes)
    sink.answers = slow(WAITS)
    cases = [("GET", kind) for kind in BODILESS] + [("HEAD", "early-hints")]
    for number, (method, kind) in enumerate(cases):
        fields, answer = BODILESS[kind]
        begin = time.monotonic()
        with socket.create_connection(envoy.address_of(), timeout=20) as client:
            client.sendall(b"%b /mockbin/profile/%b HTTP/1.1\r\nhost: a\r\n%b\r\n" % (method.encode(), kind.encode(), fields))
            received = b""
            # An interim response goes at once, and the last one when its event is stored.
            while received.count(b"HTTP/1.1") < answer.count(b"HTTP/1.1") or not received.endswith((b"\r\n\r\n", b"hello")):
                piece = client.recv(65536)
                assert piece, received
                received += piece
            waited = time.monotonic() - begin >= WAITS
        assert waited == (delivery == "before_response"), (kind, received)
        sink.wait_for_events(number + 1)
        response = sink.entries()[-1].event["response"]
        assert response["status"] == int(answer.rpartition(b"HTTP/1.1 ")[2][:3]) and "complete" not in response, response
    assert envoy.metric(UNHELD) == 0
    service.stop()


def test_an_access_logger_counts_what_it_cannot_hold(start_gateway: StartGateway, sink: SnsSink) -> None:
    envoy = start_gateway("access-logger", sink.address, routes=ROUTES)
    for _ in range(5):
        assert send(envoy.address_of(), "PUT", "/mockbin/profile").status == 200
    wait_for(lambda: envoy.metric(UNHELD) == 5, "the counter")
    line = "`delivery: before_response` is not kept: an access logger sees a response when it is over"
    wait_for(lambda: line in envoy.log(), "the warning")
    assert envoy.log().count(line) == 1
