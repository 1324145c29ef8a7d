"""`retrohook event` and `retrohook webhook` say what the built wasm does in real Envoy, for requests that nobody would write by hand.

What only a gateway knows (ids, times, sizes, addresses, headers of its own) is left out of both.
"""

import base64
import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rig import PROJECT
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import StartGateway
from rig.http import Reply, exchange_raw
from rig.scripted_service import ScriptedService
from rig.sqs_sink import SqsSink
from rig.waiting import wait_for

HOST = "api.example.com"
# Of the gateway's own, in requests and in responses.
GATEWAY_HEADERS = {
    "x-request-id", "x-forwarded-proto", "x-forwarded-for", "x-envoy-expected-rq-timeout-ms", "server", "date", "content-length",
    "x-envoy-upstream-service-time", "x-envoy-internal", "transfer-encoding", "connection", "x-envoy-external-address",
}  # fmt: skip

ROUTE = {
    "method": "*", "matcher": "^/mockbin/profile/(?<id>[^/?]+)", "attributes": {"id": "${path.id}", "kind": "${request.headers.content-type}"},
    "request_body": {"max_bytes": 40}, "response_body": {"content_types": ["application/json", "text/*"]},
}  # fmt: skip
REDACT = {"query": ["token"], "headers": ["x-secret"], "body": ["/password", "/deep/*/key"]}

IDS = {"id", "event_id", "ce-id", "ce-time"}
MESSAGE_ID = "x-retrohook-message-id"


@pytest.fixture(scope="module")
def program() -> Path:
    subprocess.run(["cargo", "build", "--locked", "--quiet", "--package", "retrohook-cli"], cwd=PROJECT, check=True, timeout=600)
    return PROJECT / "target" / "debug" / "retrohook"


class Upstream:
    """Answers each request with what a test has put here."""

    def __init__(self) -> None:
        self.response: dict[str, Any] = {}
        self.service = ScriptedService(self._speak)

    def _speak(self, connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received or len(received.partition(b"\r\n\r\n")[2]) < _length_in(received):
            received += connection.recv(65536)
        body = body_of(self.response)
        head = [f"HTTP/1.1 {self.response.get('status', 200)} X", f"content-length: {len(body)}", "connection: close"]
        connection.sendall("\r\n".join([*head, *lines_of(self.response), "", ""]).encode() + body)


def _length_in(request: bytes) -> int:
    lines = request.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    return next((int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")), 0)


def lines_of(message: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {each}" for name, value in message.get("headers", {}).items() for each in (value if isinstance(value, list) else [value])
    ]


def body_of(message: dict[str, Any]) -> bytes:
    if "body_base64" in message:
        return base64.b64decode(message["body_base64"])
    body = message.get("body", "")
    return (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"), ensure_ascii=False)).encode()


def sent(envoy: Envoy, request: dict[str, Any]) -> Reply:
    body = body_of(request)
    lines = [f"{request['method']} {request['path']} HTTP/1.1", f"host: {HOST}", f"content-length: {len(body)}", "connection: close"]
    reply = exchange_raw(envoy.address_of(), "\r\n".join([*lines, *lines_of(request), "", ""]).encode() + body)
    assert reply is not None
    return reply


def told(program: Path, folder: Path, command: str, config: dict[str, Any], request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """What the command line says of it, whose client sends a host and Envoy's scheme."""
    (folder / "config.json").write_text(json.dumps(config))
    known = {"scheme": "http"} | request
    if command == "event":
        known |= {"route": "mockbin", "service": "mockbin", "client_ip": "127.0.0.1"}
    known["headers"] = {"host": HOST} | known.get("headers", {})
    (folder / "request.json").write_text(json.dumps(known))
    arguments = [program, command, "config.json", "--request", "request.json", "--json"]
    done = subprocess.run(arguments, cwd=folder, env={}, capture_output=True, text=True, timeout=60)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def cut(value: Any, place: str = "") -> Any:
    """Without what only a gateway knows."""
    if isinstance(value, dict):
        unknown = {"latencies", "started_at", "size", "event_id", "time", "tries", "upstream_uri", "upstream_status", "source"}
        unknown |= {"received_at", "id"}
        if place.endswith("headers"):
            unknown = GATEWAY_HEADERS
        return {key: cut(child, key) for key, child in value.items() if key not in unknown and not (key == "tls" and child is None)}
    return [cut(child) for child in value] if isinstance(value, list) else value


def lines(value: Any) -> list[str]:
    """For a difference that can be read."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).replace(",\n", "\n").split("\n")


REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {"method": "PUT", "path": "/mockbin/profile/42?a=1&token=abc", "headers": {"content-type": "application/json"}, "body": {"a": [1, 2.50]}},
    "redacted": {
        "method": "PUT", "path": "/mockbin/profile/42?TOKEN=abc;x&token=a%26b&token", "body": {"Password": "x", "deep": [{"key": 1}, {"KEY": 2}]},
        "headers": {"content-type": "application/json", "X-Secret": "s", "Authorization": "Basic YTpi", "cookie": "session=1; b=2"},
    },
    "many of one name": {"method": "PATCH", "path": "/mockbin/profile/a?a=1&a=2&a&=3&&b", "headers": {"X-Many": ["1", "2", "", "3,4"], "x-other": ["a", "b"]}},
    "odd path": {"method": "PUT", "path": "/mockbin/profile/%20x;v=1,%C3%A9%?q=%zz+%20%C3%A9&%74oken=1&%=&=", "body": "x"},
    "no text": {"method": "PUT", "path": "/mockbin/profile/1", "headers": {"content-type": "application/octet-stream"}, "body_base64": "AP/+gA=="},
    "cut inside a character": {"method": "PUT", "path": "/mockbin/profile/1", "headers": {"content-type": "text/plain"}, "body": "x" * 39 + "é and more"},
    "json that is cut": {"method": "PUT", "path": "/mockbin/profile/1", "headers": {"content-type": "application/json"}, "body": {"password": "y" * 60}},
    "json that is none": {"method": "PUT", "path": "/mockbin/profile/1", "headers": {"content-type": "application/json"}, "body": '{"password": "abc", '},
    "compressed": {
        "method": "PUT", "path": "/mockbin/profile/1", "headers": {"content-type": "application/json", "content-encoding": "gzip"}, "body_base64": "H4sI",
    },
    "a body that comes back": {
        "method": "POST", "path": "/mockbin/profile/1", "response": {
            "status": 201, "headers": {"content-type": "application/json; charset=utf-8", "set-cookie": ["a=1", "b=2"], "x-secret": "s"},
            "body": {"id": 7, "password": "no", "big": 12345678901234567890},
        },
    },
    "a body of another type": {"method": "GET", "path": "/mockbin/profile/1", "response": {"headers": {"content-type": "image/png"}, "body_base64": "AAE="}},
    "letters that are not ASCII": {"method": "PUT", "path": "/mockbin/profile/1", "headers": {"x-name": "café"}, "body": ""},
    "another status": {"method": "PUT", "path": "/mockbin/profile/1", "response": {"status": 404}},
    "a redirect": {"method": "PUT", "path": "/mockbin/profile/1", "response": {"status": 302, "headers": {"location": "/x"}}},
    "another path": {"method": "PUT", "path": "/mockbin/Profile/1"},
    "a trace": {"method": "PUT", "path": "/mockbin/profile/1", "headers": {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}},
}  # fmt: skip

FORMS: dict[str, dict[str, Any]] = {
    "kong": {},
    "cloudevents": {"format": "cloudevents"},
    "message": {
        "message": {
            "m": "${request.method}", "p": "${request.path} of ${path.id}", "q": "${request.query.a}", "h": ["${request.headers.x-many}"],
            "b": "${request.body}", "v": "${request.body./a/1}", "s": "${response.status}", "r": "${response.body./big}", "n": None,
        },
    },
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_an_event_is_what_the_filter_sends(
    form: str, program: Path, start_gateway: StartGateway, tmp_path: Path, queue: SqsSink
) -> None:
    upstream = Upstream()
    config = {
        "queue_url": queue.url, "region": "us-east-1", "routes": [ROUTE], "redact": REDACT, "batch": {"max_delay_ms": 0}, "topic_arn": None,
        **FORMS[form],
    }  # fmt: skip

    envoy = start_gateway("http-filter", queue.address, adjust=lambda document: document.aim_service(upstream.service.address), **config)
    events = 0
    for name, request in REQUESTS.items():
        upstream.response = request.get("response", {})
        assert sent(envoy, request).status == upstream.response.get("status", 200), name
        code, verdicts = told(program, tmp_path, "event", config, request)
        (verdict,) = verdicts["routes"]
        assert (code == 0) == verdict["takes"], name
        if not verdict["takes"]:
            continue
        events += 1
        wait_for(lambda count=events: len(queue.requests) == count, f"the event of {name}")
        (entry,) = queue.requests[-1].entries
        assert lines(cut(json.loads(verdict["message"]))) == lines(cut(json.loads(entry["MessageBody"]))), name
        own, real = verdict["attributes"], entry["MessageAttributes"]
        assert {key: (each["type"], each["value"]) for key, each in own.items() if key not in IDS} == {
            key: (each["DataType"], each["StringValue"]) for key, each in real.items() if key not in IDS
        }, name
        assert verdict["trace"] == entry.get("MessageSystemAttributes", {}).get("AWSTraceHeader", {}).get("StringValue"), name
    upstream.service.stop()
    assert events == len(REQUESTS) - 3, "what is not taken has no event"


CAPTURES = [
    {"method": "POST", "matcher": "^/open$", "response": {"status": 202, "body": "got ${request.path}", "headers": {"x-echo": "yes"}}},
    {"method": "POST", "matcher": "^/mark$", "verify": {"scheme": "github", "secrets": ["shared"], "on_failure": "mark"}, "max_body_bytes": 100},
    {"method": "POST", "matcher": "^/reject$", "verify": {"scheme": "slack", "secrets": ["shared"]}},
    {"method": "*", "matcher": "^/asked$", "challenges": ["okta", {"when": {"request.query.ping": {"exists": True}}, "response": {"body": "pong ${request.query.ping}"}}]},
    {"method": "POST", "matcher": "^/kept/(?<tenant>[a-z]+)$", "keep_headers": ["x-kept"], "id": "${request.body./id}"},
]  # fmt: skip

WEBHOOKS: dict[str, dict[str, Any]] = {
    "json": {"method": "POST", "path": "/open?a=1&a=2", "headers": {"content-type": "application/json"}, "body": '{ "b": 1.50, "é": null }'},
    "a form": {"method": "POST", "path": "/open", "headers": {"content-type": "application/x-www-form-urlencoded"}, "body": "a=1&b=%20"},
    "no text": {"method": "POST", "path": "/open?a=%0d%0ax", "body_base64": "AP/+gA=="},
    "nothing": {"method": "POST", "path": "/open"},
    "many of one name": {"method": "POST", "path": "/open", "headers": {"X-Many": ["1", "2"], "Authorization": "Bearer s", "x-github-event": "push"}, "body": "x"},
    "unsigned": {"method": "POST", "path": "/mark", "headers": {"content-type": "application/json"}, "body": {"a": 1}},
    "signed by another": {"method": "POST", "path": "/mark", "headers": {"x-hub-signature-256": "sha256=" + "0" * 64}, "body": {"a": 1}},
    "too large": {"method": "POST", "path": "/mark", "body": "x" * 101},
    "refused": {"method": "POST", "path": "/reject", "body": "x"},
    "a challenge": {"method": "GET", "path": "/asked", "headers": {"x-okta-verification-challenge": "abc"}},
    "a challenge of one's own": {"method": "POST", "path": "/asked?ping=%3C1%3E", "body": "x"},
    "its own id": {"method": "POST", "path": "/kept/acme", "headers": {"X-Kept": "k", "content-type": "application/json"}, "body": {"id": "evt-7"}},
    "without its id": {"method": "POST", "path": "/kept/acme", "headers": {"content-type": "application/json"}, "body": {"id": None}},
    "another spelling": {"method": "POST", "path": "/open/", "body": "x"},
}  # fmt: skip


def test_a_webhook_is_stored_and_answered_as_the_command_line_says(
    program: Path, start_capture: Callable[..., Envoy], tmp_path: Path, queue: SqsSink
) -> None:
    config: dict[str, Any] = {}

    def adjust(document: EnvoyConfig) -> None:
        target = {key: document.settings["capture"][0][key] for key in ("queue_url", "region", "upstream")}
        config["capture"] = [capture | target for capture in CAPTURES]
        document.configure(**config)

    envoy = start_capture(queue, adjust=adjust)
    stored = 0
    for name, request in WEBHOOKS.items():
        reply = sent(envoy, request)
        _, verdicts = told(program, tmp_path, "webhook", config, request)
        (verdict,) = verdicts["configurations"]
        answer = verdict["answer"]
        assert (answer["status"], answer["body"]) == (reply.status, reply.body.decode()), name
        real = {key: value for key, value in reply.headers.items() if key not in {*GATEWAY_HEADERS, MESSAGE_ID}}
        assert {key: value for key, value in answer["headers"].items() if key != MESSAGE_ID} == real, name
        assert (MESSAGE_ID in answer["headers"]) == (MESSAGE_ID in reply.headers), name
        if verdict.get("stored") is None:
            assert len(queue.requests) == stored, name
            continue
        stored += 1
        assert len(queue.requests) == stored, name
        (entry,) = queue.requests[-1].entries
        assert lines(cut(json.loads(verdict["stored"]["message"]))) == lines(cut(json.loads(entry["MessageBody"]))), name
        own, real = verdict["stored"]["attributes"], entry["MessageAttributes"]
        assert {key: (each["type"], each["value"]) for key, each in own.items() if key not in IDS} == {
            key: (each["DataType"], each["StringValue"]) for key, each in real.items() if key not in IDS
        }, name
    assert stored == 10
