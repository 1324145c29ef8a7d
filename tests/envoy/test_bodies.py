"""Bodies in events, through real Envoy: every kind that clients and services send, and what stands in its place."""

import gzip
import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from rig import LOOPBACK, http2
from rig.envoy_config import EnvoyConfig
from rig.gateway import StartGateway
from rig.http import Address, send
from rig.odd_service import OddService
from rig.scripted_service import ScriptedService
from rig.sns_answers import error
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

SECRET = "t0ps3cret-of-the-client"
JSON = {"content-type": "application/json"}
TEXT = {"content-type": "text/plain"}
BINARY = {"content-type": "application/octet-stream"}


class _Echo(BaseHTTPRequestHandler):
    """Answers with the request's body, in the way that the last part of the path says."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def do_PUT(self) -> None:
        kind = self.path.rsplit("/", 1)[-1]
        body = b"" if kind == "early" else self._read()
        content_type = "text/event-stream" if kind == "stream" else self.headers.get("content-type", "text/plain")
        self.send_response(200)
        self.send_header("content-type", content_type)
        if encoding := self.headers.get("content-encoding"):
            self.send_header("content-encoding", encoding)
        if kind in ("chunked", "stream"):
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for at in range(0, len(body), 1000):
                piece = body[at : at + 1000]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("content-length", str(len(body) + (100 if kind == "broken" else 0)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = kind in ("broken", "early")

    do_POST = do_PUT

    def _read(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body


@pytest.fixture
def echo() -> Iterator[Address]:
    server = ThreadingHTTPServer((LOOPBACK, 0), _Echo)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address
    server.shutdown()


def aimed_at(echo: Address) -> Any:
    def adjust(config: EnvoyConfig) -> None:
        config.aim_service(echo)

    return adjust


def keeping(**more: Any) -> list[dict[str, Any]]:
    bodies = {"request_body": {"max_bytes": 65536}, "response_body": {"max_bytes": 65536}}
    return [{"method": ["PUT", "POST"], "matcher": "/profile", **bodies, **more}]


def said(message: dict[str, Any]) -> dict[str, Any]:
    keys = ("body", "body_encoding", "body_compression", "body_left_out", "complete")
    return {key: message[key] for key in keys if key in message}


def last(sink: SnsSink, count: int) -> dict[str, Any]:
    wait_for(lambda: len(sink.entries()) == count, "the event")
    return sink.entries()[-1].event


def test_bodies_of_every_kind(start_gateway: StartGateway, sink: SnsSink, echo: Address) -> None:
    envoy = start_gateway("http-filter", sink.address, adjust=aimed_at(echo), routes=keeping())
    order = b'{"id": 7, "price": 1.0, "name": "Gr\\u00f6\\u00dfe"}'
    large = json.dumps(["x" * 100] * 600).encode()
    cases: list[tuple[str, dict[str, str], bytes, dict[str, Any]]] = [
        ("sized", JSON, order, {"body": json.loads(order)}),
        ("chunked", JSON, large, {"body": json.loads(large)}),
        ("sized", TEXT, "Größe".encode(), {"body": "Größe"}),
        ("sized", BINARY, b"\xff\0", {"body": "/wA=", "body_encoding": "base64"}),
        ("sized", JSON, b"", {}),
        ("sized", JSON, b"{", {"body": "{"}),
    ]
    for number, (kind, headers, body, expected) in enumerate(cases):
        reply = send(envoy.address_of(), "PUT", f"/mockbin/profile/{kind}", headers, body)
        assert (reply.status, reply.body) == (200, body)
        event = last(sink, number + 1)
        assert said(event["request"]) == said(event["response"]) == expected and "truncated" not in event


def test_what_is_not_whole_says_so(start_gateway: StartGateway, sink: SnsSink, echo: Address) -> None:
    envoy = start_gateway("http-filter", sink.address, adjust=aimed_at(echo), routes=keeping())

    def put(kind: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        count = len(sink.entries())
        assert send(envoy.address_of(), "PUT", f"/mockbin/profile/{kind}", headers, body).body == body
        return last(sink, count + 1)

    megabyte = put("chunked", TEXT, b"a" * 1_048_576)
    assert sorted(megabyte["truncated"]) == ["request.body", "response.body"]
    assert said(megabyte["request"]) == said(megabyte["response"]) == {"body": "a" * 65_536}
    packed = gzip.compress(b'{"a": 1}')
    compressed = said(put("sized", {**JSON, "content-encoding": "gzip"}, packed)["response"])
    assert (compressed["body_encoding"], compressed["body_compression"]) == ("base64", "gzip")
    streamed = put("stream", TEXT, b"data: 1\n\n")
    assert said(streamed["response"]) == {"body_left_out": "streamed"} and said(streamed["request"]) == {"body": "data: 1\n\n"}

    count = len(sink.entries())
    with socket.create_connection(envoy.address_of(), timeout=10) as client:
        client.sendall(b"PUT /mockbin/profile/broken HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nwhole")
        while client.recv(65536):
            pass
    broken = last(sink, count + 1)
    assert said(broken["response"]) == {"body": "whole", "complete": False} and broken["truncated"] == ["response.body"]
    assert said(broken["request"]) == {"body": "whole"}

    with socket.create_connection(envoy.address_of(), timeout=10) as client:
        client.sendall(b"PUT /mockbin/profile/early HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: 50\r\n\r\npart")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    early = last(sink, count + 2)
    assert said(early["request"]) == {"body": "part", "complete": False} and early["truncated"] == ["request.body"]


def test_bodies_over_http_2_with_trailers(start_gateway: StartGateway, sink: SnsSink, echo: Address) -> None:
    envoy = start_gateway("http-filter", sink.address, adjust=aimed_at(echo), routes=keeping())
    body = json.dumps({"text": "x" * 40_000}).encode()
    assert http2.post(envoy.address_of(), "/mockbin/profile/chunked", body, ("x-checksum", "7")) == 200
    event = last(sink, 1)
    assert said(event["request"]) == said(event["response"]) == {"body": json.loads(body)} and "truncated" not in event


def _answer_oddly(connection: socket.socket) -> None:
    """Answers as the last part of the path says; what comes of the request may be in pieces."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
        if b"\r\n\r\n" not in received:
            continue
        head, _, body = received.partition(b"\r\n\r\n")
        kind = head.split(b" ", 2)[1].decode().rsplit("/", 1)[-1]
        if kind == "continue" and body != b"part":
            connection.sendall(b"" if body else b"HTTP/1.1 100 Continue\r\n\r\n")
            continue
        if kind == "hang":
            continue
        connection.sendall(ODD_ANSWERS[kind])
        received = b""


OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
TO_WEBSOCKET = b"connection: upgrade\r\nupgrade: websocket\r\n"
ODD_ANSWERS = {
    "head": OK + b"content-length: 50\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\ncontent-type: text/plain\r\n\r\n",
    "hints": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK + b"content-length: 4\r\n\r\nlate",
    "continue": OK + b"content-length: 4\r\n\r\ndone",
    "websocket": b"HTTP/1.1 101 Switching Protocols\r\n" + TO_WEBSOCKET + b"\r\n\x81\x05hello",
}
STREAMED = {"body_left_out": "streamed"}


def test_bodies_of_odd_exchanges_are_as_they_were_or_marked(start_gateway: StartGateway, sink: SnsSink) -> None:
    """Responses without a body, interim ones, upgrades, and a client that leaves amid its body."""
    service = ScriptedService(_answer_oddly)

    def adjust(config: EnvoyConfig) -> None:
        config.aim_service(service.address)
        config.http_manager["proxy_100_continue"] = True
        config.http_manager["upgrade_configs"] = [{"upgrade_type": "websocket"}]
        config.http_manager["http2_protocol_options"]["allow_connect"] = True

    routes = keeping(method="*", status=[0, "1xx", "2xx", 304])
    envoy = start_gateway("http-filter", sink.address, adjust=adjust, routes=routes)
    text = b"content-type: text/plain\r\n"

    def speak(method: bytes, kind: str, fields: bytes, body: bytes, until: bytes) -> dict[str, Any]:
        count = len(sink.entries())
        with socket.create_connection(envoy.address_of(), timeout=20) as client:
            client.sendall(b"%b /mockbin/profile/%b HTTP/1.1\r\nhost: a\r\n%b\r\n%b" % (method, kind.encode(), fields, body))
            received = b""
            while until and until not in received:
                if b"100 Continue" in received and kind == "continue":
                    client.sendall(b"part")
                piece = client.recv(65536)
                assert piece, received
                received += piece
        return last(sink, count + 1)

    nothing: dict[str, Any] = {}
    for method, kind, fields, body, until, request, response in [
        (b"HEAD", "head", b"", b"", b"\r\n\r\n", nothing, nothing),
        (b"PUT", "204", text + b"content-length: 3\r\n", b"abc", b"\r\n\r\n", {"body": "abc"}, nothing),
        (b"GET", "304", b"", b"", b"\r\n\r\n", nothing, nothing),
        (b"GET", "hints", b"", b"", b"late", nothing, {"body": "late"}),
        (b"PUT", "continue", text + b"expect: 100-continue\r\ncontent-length: 4\r\n", b"", b"done", {"body": "part"}, {"body": "done"}),
        (b"GET", "websocket", TO_WEBSOCKET, b"", b"hello", STREAMED, STREAMED),
    ]:
        event = speak(method, kind, fields, body, until)
        assert (said(event["request"]), said(event["response"])) == (request, response), (kind, event)

    # A client that leaves amid its body, before any answer.
    event = speak(b"PUT", "hang", text + b"content-length: 50\r\n", b"part", b"")
    assert said(event["request"]) == {"body": "part", "complete": False}, event
    assert said(event["response"]) == {"complete": False} and event["truncated"] == ["request.body"]

    # WebSocket over HTTP/2, which Envoy makes an upgrade of.
    count = len(sink.entries())
    head = {":method": "CONNECT", ":protocol": "websocket", ":path": "/mockbin/profile/websocket"}
    http2.exchange(envoy.address_of(), head, b"frame")
    event = last(sink, count + 1)
    assert (said(event["request"]), said(event["response"])) == (STREAMED, STREAMED), event
    service.stop()


def test_a_stream_of_grpc_is_marked_and_a_redirect_has_the_bodies_of_what_the_client_got(
    start_gateway: StartGateway, sink: SnsSink
) -> None:
    with OddService() as odd:

        def adjust(config: EnvoyConfig) -> None:
            config.aim_service(odd.address)
            config.add_http2_cluster("grpc", odd.address)
            config.add_route("/grpc", "grpc")
            config.add_route("/redirected", internal_redirect_policy={"redirect_response_codes": [307]})

        routes = keeping(matcher="profile|moved", grpc_status="*")
        envoy = start_gateway("http-filter", sink.address, adjust=adjust, routes=routes)
        for number, kind in enumerate(["grpc-0", "grpc-7", "head-0", "none"]):
            head = {":path": f"/grpc/{kind}/profile", "content-type": "application/grpc"}
            http2.exchange(envoy.address_of(), head, b"\0\0\0\0\2{}")
            event = last(sink, number + 1)
            expected = {} if kind == "head-0" else STREAMED
            assert (said(event["request"]), said(event["response"])) == (STREAMED, expected), kind
        assert send(envoy.address_of(), "PUT", "/redirected/moved/profile", TEXT, b"").status == 200
        event = last(sink, 5)
        assert (said(event["request"]), said(event["response"])) == ({}, {"body": "{}"})


def test_a_response_that_waits_has_the_request_s_body_in_its_event(
    start_gateway: StartGateway, sink: SnsSink, echo: Address
) -> None:
    routes = [{"method": "PUT", "matcher": "/profile", "request_body": {}, "delivery": "before_response"}]
    envoy = start_gateway("http-filter", sink.address, adjust=aimed_at(echo), routes=routes)
    assert send(envoy.address_of(), "PUT", "/mockbin/profile/chunked", JSON, b'{"a": 1}').body == b'{"a": 1}'
    assert said(last(sink, 1)["request"]) == {"body": {"a": 1}}


def test_an_access_logger_says_that_it_sees_no_bodies(start_gateway: StartGateway, sink: SnsSink, echo: Address) -> None:
    envoy = start_gateway("access-logger", sink.address, adjust=aimed_at(echo), routes=keeping())
    for _ in range(2):
        assert send(envoy.address_of(), "PUT", "/mockbin/profile/sized", TEXT, b"a").status == 200
    event = last(sink, 2)
    assert said(event["request"]) == said(event["response"]) == {"body_left_out": "access_logger"}
    assert envoy.log().count("an access logger sees an exchange when its bodies are gone") >= 1


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", "\ufeff" + json.dumps({"u": f"?token={SECRET}"}).replace("=", "\\u003d")),
        ("application/json", json.dumps({"a": json.dumps({"u": f"?token={SECRET}"}).replace("=", "\\u003d")})),
        ("application/x-www-form-urlencoded", f"a=b&token=my {SECRET}"),
        ("multipart/form-data; boundary=b", f'--b\r\ncontent-disposition: form-data; name="token"\r\n\r\n{SECRET}\r\n--b--'),
    ],
)
def test_a_parameter_is_in_no_body_however_that_is_written(
    start_gateway: StartGateway, sink: SnsSink, echo: Address, content_type: str, body: str
) -> None:
    envoy = start_gateway("http-filter", sink.address, adjust=aimed_at(echo), routes=keeping(), redact={"query": ["token"]})
    headers = {"content-type": content_type}
    assert send(envoy.address_of(), "PUT", "/mockbin/profile/sized", headers, body.encode()).body == body.encode()
    event = json.dumps(last(sink, 1))
    assert SECRET not in event and ("REDACTED" in event or "unredacted" in event)


def test_what_is_redacted_is_in_no_event_no_letter_and_no_line(
    start_gateway: StartGateway, sink: SnsSink, echo: Address
) -> None:
    sink.answers = error(400, "InvalidParameter")
    routes = keeping(attributes={"a": "${request.body}", "b": "${response.body./password}"}, subject="${response.body}")
    redact = {"body": ["/password", "/cards/*/number"], "query": ["token"]}
    envoy = start_gateway("http-filter", sink.address, adjust=aimed_at(echo), routes=routes, redact=redact)
    whole = {"password": SECRET, "cards": [{"number": SECRET}], "url": f"https://a/?token={SECRET}"}
    bodies = [
        json.dumps(whole),
        json.dumps(whole).replace("password", "p\\u0061ssword").replace("token=", "token\\u003d"),
        json.dumps(whole)[:-1],
        f"password={SECRET}",
        json.dumps({**whole, "more": "x" * 70_000}),
    ]
    for body in bodies:
        for headers in (JSON, TEXT, {}):
            assert send(envoy.address_of(), "PUT", "/mockbin/profile/sized", headers, body.encode()).status == 200
        packed = gzip.compress(body.encode())
        assert send(envoy.address_of(), "PUT", "/mockbin/profile/sized", {**JSON, "content-encoding": "gzip"}, packed).status == 200
    wait_for(lambda: envoy.log().count("retrohook-dead-letter") >= 4 * len(bodies), "the dead letters")
    sent = "".join(request.body.decode() for request in sink.requests)
    assert "REDACTED" in sent and "unredacted" in sent and SECRET not in sent and SECRET not in envoy.log()


def test_an_event_that_is_too_large_keeps_what_pointers_name(start_gateway: StartGateway, sink: SnsSink, echo: Address) -> None:
    route = {
        "method": "PUT",
        "matcher": "/profile",
        "request_body": {"max_bytes": 1_048_576},
        "when": {"request.body./price": 7, "request.body./customer": {"exists": True}},
        "attributes": {"kind": "${request.body./kind}", "price": {"type": "Number", "value": "${request.body./price}"}},
        "subject": "about ${request.body./id}",
    }
    named = {**route, "event_type": "named", "message": {"id": "${request.body./id}"}, "continue": True}
    whole = {**route, "event_type": "whole"}
    envoy = start_gateway("http-filter", sink.address, adjust=aimed_at(echo), routes=[named, whole])
    order = {"id": "o-1", "kind": "order", "pad": "y" * 300_000, "customer": {}, "price": 7.0}
    assert send(envoy.address_of(), "PUT", "/mockbin/profile/sized", JSON, json.dumps(order)).status == 200
    wait_for(lambda: len(sink.entries()) == 2, "the events")
    events = {entry.attributes["event_type"][1]: entry for entry in sink.entries()}
    for entry in events.values():
        assert (entry.attributes["kind"], entry.attributes["price"]) == (("String", "order"), ("Number", "7"))
        assert entry.parameters["Subject"] == "about o-1"
    assert events["named"].event == {"id": "o-1"}
    assert events["whole"].event["truncated"] == ["request.body"]
