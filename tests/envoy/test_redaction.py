"""What is redacted is in no event, however it is spelled and wherever it stands."""

import json
from typing import Any
from urllib.parse import quote, unquote_plus

import pytest
from rig.envoy_config import EnvoyConfig
from rig.gateway import StartGateway
from rig.http import send, send_raw
from rig.sns_answers import error
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

SECRET = "s3cr3t-of-the-client"

NESTED = quote(f"https://x.example/cb?a=1&token={SECRET}", safe="")

# What a client asks for, behind /mockbin/profile.
TARGETS = [
    f"?Token={SECRET}",
    f"?a=1;token={SECRET}",
    f"?token[]={SECRET}",
    f"?token%5B%5D={SECRET}",
    f"?%74oken={SECRET}",
    f"?a=b?c&token={SECRET}",
    f"?next={NESTED}",
    f"?next={quote(NESTED, safe='')}",
    f"?next=https://x.example/?token={SECRET}",
    f"?user[token]={SECRET}",
    # Raw, as curl sends them: to the service all of it is the value.
    f'?token=a"{SECRET}',
    f'?token="a"{SECRET}',
    f"?token=<a>{SECRET}",
    f"?token=a;b={SECRET}",
    f"?token=a,b={SECRET}",
]

# What it sends in a header, and what a service answers in one.
VALUES = [
    f"https://x.example/#token={SECRET}",
    f'<https://x.example/?a=1>; rel="prev", <https://x.example/?a=1&token={SECRET}>; rel="next"',
    f"/login?next={NESTED}",
    f"/login?next={quote(NESTED, safe='')}",
    f"why? because of /?token={SECRET}",
    f'a=1, token="{SECRET}", b=2',
]


def everything_in(sink: SnsSink) -> str:
    """All that was sent, decoded until nothing changes."""
    text = "\n".join(request.body.decode() for request in sink.requests)
    while (decoded := unquote_plus(text)) != text:
        text = decoded
    return text


def answer_with(value: str) -> Any:
    def adjust(config: EnvoyConfig) -> None:
        (route,) = config.http_manager["route_config"]["virtual_hosts"][0]["routes"]
        header = {"key": "location", "value": value.replace("%", "%%")}
        route["response_headers_to_add"] = [{"header": header}]

    return adjust


def test_no_spelling_of_a_parameter_is_in_an_event(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    headers = ["referer", "x-original-url", "x-request-id"]
    route = {
        "method": "PUT",
        "matcher": "/mockbin/(?<what>.+)",
        "attributes": {
            **{name: f"${{request.headers.{name}}}" for name in headers},
            "query": "${request.query.token}${request.query.next}",
            "what": "${path.what}",
        },
        "subject": "${request.path} ${request.query.next}",
    }
    redact = {"query": ["token"]}
    envoy = start_gateway(way, sink.address, routes=[route], redact=redact, adjust=answer_with(VALUES[0]))
    for target in TARGETS:
        raw = f"PUT /mockbin/profile{target} HTTP/1.1\r\nhost: gateway\r\ncontent-length: 0\r\n\r\n"
        assert send_raw(envoy.address_of(), raw.encode()) == 200, target
    for value in VALUES:
        assert send(envoy.address_of(), "PUT", "/mockbin/profile?a=1", dict.fromkeys(headers, value)).status == 200, value
    entries = sink.wait_for_events(len(TARGETS) + len(VALUES))
    assert SECRET not in everything_in(sink)
    shown = [entry.event["request"] for entry in entries]
    assert sum("REDACTED" in request["uri"] for request in shown) == len(TARGETS)
    assert sum("REDACTED" in request["headers"].get("x-original-url", "") for request in shown) == len(VALUES)
    locations = {entry.event["response"]["headers"]["location"] for entry in entries}
    assert locations == {"https://x.example/#token=REDACTED"}


@pytest.mark.parametrize("value", VALUES)
def test_nor_is_what_a_service_answers(start_gateway: StartGateway, sink: SnsSink, value: str) -> None:
    redact = {"query": ["token"]}
    envoy = start_gateway("access-logger", sink.address, redact=redact, adjust=answer_with(value))
    reply = send(envoy.address_of(), "PUT", "/mockbin/profile")
    assert reply.headers["location"] == value, "the client has it as it is"
    (entry,) = sink.wait_for_events(1)
    assert SECRET not in everything_in(sink)
    assert "REDACTED" in entry.event["response"]["headers"]["location"]


def test_what_is_not_listed_is_unchanged(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    uri = f"/mockbin/profile?tokens={SECRET}&my-token=%74oken&a=token&next={NESTED.replace('token', 'tokens')}&b=%zz"
    headers = {"referer": f"https://x.example{uri}", "accept": "a/token;q=0.7, token", "x-a": "%25%32%35=?&;=%"}
    envoy = start_gateway(way, sink.address, redact={"query": ["token"], "headers": ["x-token"]})
    assert send(envoy.address_of(), "PUT", uri, headers).status == 200
    (entry,) = sink.wait_for_events(1)
    assert entry.event["request"]["uri"] == uri
    assert {name: entry.event["request"]["headers"][name] for name in headers} == headers


def test_a_group_of_the_path_is_hidden_wherever_the_path_stands(
    start_gateway: StartGateway, sink: SnsSink, way: str
) -> None:
    route = {
        "method": "PUT",
        "matcher": "^/mockbin/reset/(?<key>[^/]+)/profile$",
        "attributes": {"key": "${path.key}", "path": "${request.path}", "from": "${request.headers.referer}"},
        "subject": "reset of ${path.key}",
        "message_group_id": "${path.key}",
    }
    path = f"/mockbin/reset/{SECRET}/profile"
    adjust = answer_with(f"https://x.example/reset/{SECRET}/done")
    envoy = start_gateway(way, sink.address, routes=[route], redact={"path": ["key"]}, adjust=adjust)
    headers = {"referer": f"https://x.example{path}?a=1", "x-next": quote(quote(path, safe=""), safe="")}
    assert send(envoy.address_of(), "PUT", f"{path}?of={SECRET}&a=1", headers).status == 200
    (entry,) = sink.wait_for_events(1)
    assert SECRET not in everything_in(sink)
    request = entry.event["request"]
    assert request["uri"] == "/mockbin/reset/REDACTED/profile?of=REDACTED&a=1"
    assert request["url"].endswith(request["uri"])
    assert request["headers"]["referer"] == "https://x.example/mockbin/reset/REDACTED/profile?a=1"
    assert entry.event["upstream_uri"] == "/reset/REDACTED/profile?of=REDACTED&a=1"
    assert entry.event["response"]["headers"]["location"] == "https://x.example/reset/REDACTED/done"
    assert entry.attributes["path"] == ("String", "/mockbin/reset/REDACTED/profile")


def test_a_group_is_hidden_whichever_route_the_request_takes(
    start_gateway: StartGateway, sink: SnsSink, way: str
) -> None:
    """Neither another method nor another status makes the path less secret."""
    redact = {"path": ["key"]}
    routes = [
        {"method": "POST", "matcher": "^/mockbin/reset/(?<key>[^/]+)/profile$"},
        {"method": "*", "matcher": "^/mockbin/invite/(?<key>[^/]+)", "status": "5xx"},
        {"method": "*", "matcher": "/(?<what>[^/]+)$", "status": "*", "subject": "${path.what} of ${request.path}"},
    ]
    envoy = start_gateway(way, sink.address, routes=routes, redact=redact)
    for path in [f"/mockbin/reset/{SECRET}/profile", f"/mockbin/invite/{SECRET}"]:
        send(envoy.address_of(), "PUT", f"{path}?of={SECRET}", {"referer": f"https://x.example{path}"})
    entries = sink.wait_for_events(2)
    assert SECRET not in everything_in(sink)
    assert {entry.parameters["Subject"] for entry in entries} == {
        "profile of /mockbin/reset/REDACTED/profile", "REDACTED of /mockbin/invite/REDACTED",
    }  # fmt: skip


def test_what_is_redacted_is_in_no_dead_letter_and_no_line(
    start_gateway: StartGateway, sink: SnsSink, way: str
) -> None:
    sink.answers = error(400, "InvalidParameter")
    route = {"method": "PUT", "matcher": "/reset/(?<key>[^/]+)/", "attributes": {"key": "${path.key}"}}
    redact = {"path": ["key"], "query": ["token"], "headers": ["x-token"]}
    envoy = start_gateway(way, sink.address, routes=[route], redact=redact)
    envoy.admin_get("/logging?wasm=trace")
    target = f"/mockbin/reset/{SECRET}/profile?%54oken={SECRET}"
    assert send(envoy.address_of(), "PUT", target, {"x_token": SECRET, "x-token": SECRET}).status == 200
    wait_for(lambda: "retrohook-dead-letter" in envoy.log(), "the letter")
    lines = [line for line in envoy.log().splitlines() if "retrohook" in line]
    assert lines and SECRET not in "\n".join(lines)


@pytest.mark.parametrize("delivery", ["after_response", "before_response"])
def test_a_secret_that_the_gateway_adds_is_shown_as_documented_and_hidden_where_it_is_named(
    start_gateway: StartGateway, sink: SnsSink, way: str, delivery: str
) -> None:
    """An event has the headers that the service got; one for which the response waits has those of the client."""

    def adjust(config: EnvoyConfig) -> None:
        (route,) = config.http_manager["route_config"]["virtual_hosts"][0]["routes"]
        header = {"key": "x-service-key", "value": "s3cr3t-of-the-gateway"}
        route.update(request_headers_to_add=[{"header": header}], request_headers_to_remove=["x-gone"])

    routes = [{"method": "PUT", "matcher": "/profile", "delivery": delivery}]
    waits = (way, delivery) == ("http-filter", "before_response")
    shown = []
    for redact in ({}, {"headers": ["x-service-key"]}):
        sink.forget()
        envoy = start_gateway(way, sink.address, adjust=adjust, routes=routes, redact=redact)
        assert send(envoy.address_of(), "PUT", "/mockbin/profile", {"x-gone": "1", "x-kept": "2"}).status == 200
        (entry,) = sink.wait_for_events(1)
        headers = entry.event["request"]["headers"]
        shown.append({name: headers.get(name) for name in ("x-service-key", "x-gone", "x-kept")})
    if waits:
        assert shown == [{"x-service-key": None, "x-gone": "1", "x-kept": "2"}] * 2
    else:
        values = ("s3cr3t-of-the-gateway", "REDACTED")
        assert shown == [{"x-service-key": value, "x-gone": None, "x-kept": "2"} for value in values]
