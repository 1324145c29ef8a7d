"""The message: Kong's file-log shape as far as Envoy knows it, and what must never be in it."""

import time
import uuid
from typing import Any

import pytest
from rig.gateway import StartGateway
from rig.http import send, send_raw
from rig.sns_sink import SnsSink

SECRETS = {
    "authorization": "Bearer of-the-client",
    "proxy-authorization": "Basic of-the-proxy",
    "cookie": "session=of-the-client",
    "x-api-key": "api-key-of-the-client",
    "apikey": "apikey-of-the-client",
    "x-amz-security-token": "token-of-the-client",
}


def publish_one(start_gateway: StartGateway, sink: SnsSink, way: str, *request: Any, **settings: Any) -> dict[str, Any]:
    envoy = start_gateway(way, sink.address, **settings)
    assert send(envoy.address_of(), *request).status == 200
    (entry,) = sink.wait_for_events(1)
    return entry.event


def test_the_shape_is_that_of_kongs_file_log(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    before = time.time() * 1000
    event = publish_one(
        start_gateway, sink, way,
        "PUT", "/mockbin/profile?a=1&b=2&b=3&c&d=", {"x-one": "1", "Content-Type": "application/json"}, '{"foo":"bar"}',
    )  # fmt: skip
    after = time.time() * 1000

    request = event["request"]
    assert request["method"] == "PUT"
    assert request["uri"] == "/mockbin/profile?a=1&b=2&b=3&c&d="
    host = request["headers"]["host"]
    assert request["url"] == f"http://{host}{request['uri']}", "always with the port"
    assert request["querystring"] == {"a": "1", "b": ["2", "3"], "c": True, "d": ""}
    assert request["headers"]["x-one"] == "1"
    assert request["headers"]["content-type"] == "application/json"
    assert uuid.UUID(request["id"])
    assert isinstance(request["size"], int) and request["size"] >= len('{"foo":"bar"}')
    assert "tls" not in request, "the client came in plain text"

    response = event["response"]
    assert response["status"] == 200
    assert isinstance(response["size"], int) and response["size"] > 0
    assert response["headers"]["content-type"] == "application/json"

    latencies = event["latencies"]
    assert {"kong", "proxy", "request"} <= latencies.keys() <= {"kong", "proxy", "request", "receive"}
    assert all(isinstance(value, int) and 0 <= value < 10_000 for value in latencies.values())
    assert latencies["kong"] + latencies["proxy"] <= latencies["request"] + 1

    assert event["client_ip"] == "127.0.0.1"
    assert isinstance(event["started_at"], int) and before - 1 <= event["started_at"] <= after
    assert event["upstream_status"] == "200"
    assert event["upstream_uri"].split("?")[0] == "/profile"
    assert event["route"]["name"] == "mockbin"
    assert event["service"]["name"] == "mockbin"
    assert uuid.UUID(event["event_id"])
    assert event["event_type"] == "profile.updated"
    known = {"request", "response", "latencies", "client_ip", "started_at", "upstream_status", "upstream_uri", "route"}
    known |= {"service", "source", "tries", "event_id", "event_type"}
    assert event.keys() <= known


def test_a_header_that_came_several_times_is_an_array(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    envoy = start_gateway(way, sink.address)
    raw = b"PUT /mockbin/profile HTTP/1.1\r\nhost: gateway\r\nx-many: one\r\nx-many: two\r\ncontent-length: 0\r\n\r\n"
    assert send_raw(envoy.address_of(), raw) == 200
    (entry,) = sink.wait_for_events(1)
    assert entry.event["request"]["headers"]["x-many"] in (["one", "two"], "one,two")


def test_a_route_without_event_type_has_none(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    envoy = start_gateway(way, sink.address, routes=[{"method": "*", "matcher": "profile$"}])
    send(envoy.address_of(), "PUT", "/mockbin/profile")
    (entry,) = sink.wait_for_events(1)
    assert "event_type" not in entry.event
    assert "event_type" not in entry.attributes


def test_secrets_stay_in_the_gateway(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    event = publish_one(start_gateway, sink, way, "PUT", "/mockbin/profile", SECRETS)
    headers = event["request"]["headers"]
    assert {name: headers[name] for name in SECRETS} == dict.fromkeys(SECRETS, "REDACTED")
    assert event["response"]["headers"]["set-cookie"] == "REDACTED", "the service sets a cookie"
    body = sink.requests[0].body.decode()
    assert "of-the-" not in body


@pytest.mark.parametrize("spelling", ["token", "%74oken"])
def test_more_can_be_named_to_be_redacted(start_gateway: StartGateway, sink: SnsSink, way: str, spelling: str) -> None:
    event = publish_one(
        start_gateway, sink, way, "PUT", f"/mockbin/profile?{spelling}=of-the-url&a=1", {"X-Internal": "of-the-header"},
        redact={"headers": ["x-internal"], "query": ["token"]},
    )  # fmt: skip
    assert event["request"]["headers"]["x-internal"] == "REDACTED"
    assert event["request"]["querystring"] == {"token": "REDACTED", "a": "1"}
    assert b"of-the-" not in sink.requests[0].body
