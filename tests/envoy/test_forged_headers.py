"""Headers that a client forges where the shipped configurations run: what an event says beside the headers themselves is what the
gateway knows, and where the client's spelling of a path decides, it is that of the request line.
"""

from typing import Any

from rig.gateway import StartGateway
from rig.http import send, send_raw
from rig.sns_sink import SnsSink

FORGED = {
    "x-envoy-original-path": "/forged/profile",
    "x-envoy-original-host": "forged",
    "x-envoy-original-method": "DELETE",
    "x-envoy-internal": "true",
    "x-envoy-external-address": "203.0.113.7",
    "x-envoy-expected-rq-timeout-ms": "203011307",
    "x-envoy-upstream-service-time": "203011307",
    "x-envoy-attempt-count": "203011307",
    "x-envoy-decorator-operation": "forged",
    "x-forwarded-for": "203.0.113.7",
    "x-forwarded-host": "forged",
    "x-forwarded-port": "1",
    "x-forwarded-proto": "https",
    "x-forwarded-path": "/forged/profile",
    "x-forwarded-client-cert": "By=forged;URI=forged",
    "x-http-method-override": "DELETE",
    "x-rewrite-url": "/forged/profile",
    "x-original-url": "/forged/profile",
    "x-real-ip": "203.0.113.7",
    "forwarded": "for=203.0.113.7;proto=https;host=forged",
    "true-client-ip": "203.0.113.7",
}


def without_headers(event: dict[str, Any]) -> dict[str, Any]:
    """All that an event says beside headers, times, sizes and ids."""
    request, response = ({**event[part], "headers": {}, "size": 0} for part in ("request", "response"))
    known = {**event, "request": {**request, "id": ""}, "response": response}
    return {**known, "event_id": "", "started_at": 0, "latencies": {}}


def test_what_a_client_forges_is_in_no_other_part_of_an_event(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    routes = [{"method": ["PUT", "DELETE"], "matcher": "/", "attributes": {"path": "${request.path}", "to": "${service.name}"}}]
    envoy = start_gateway(way, sink.address, routes=routes)
    gateway = envoy.address_of()
    assert send(gateway, "PUT", "/mockbin/profile?mark=1").status == 200
    assert send(gateway, "PUT", "/mockbin/profile?mark=1", FORGED).status == 200
    # Twice, and in capitals.
    twice = "".join(f"{name.upper()}: {value}\r\n" * 2 for name, value in FORGED.items())
    raw = f"PUT /mockbin/profile?mark=1 HTTP/1.1\r\nhost: {gateway[0]}:{gateway[1]}\r\ncontent-length: 0\r\n{twice}\r\n"
    assert send_raw(gateway, raw.encode()) == 200
    entries = sink.wait_for_events(3)
    honest, *forged = sorted(entries, key=lambda entry: "x-real-ip" in entry.event["request"]["headers"])
    assert len(forged) == 2
    for entry in forged:
        assert without_headers(entry.event) == without_headers(honest.event)
        assert entry.event["latencies"]["request"] < 60_000
        assert {**entry.attributes, "event_id": None} == {**honest.attributes, "event_id": None}
        headers = entry.event["request"]["headers"]
        assert "x-envoy-original-path" not in headers and headers["x-forwarded-proto"] == "http"


def test_a_request_that_has_no_path_makes_no_event_and_hides_none(
    start_gateway: StartGateway, sink: SnsSink, way: str
) -> None:
    """Envoy gives a CONNECT over HTTP/1 none, also where a client names one in a header."""
    envoy = start_gateway(way, sink.address, routes=[{"method": "*", "matcher": "", "status": "*"}])
    gateway = envoy.address_of()
    connect = b"CONNECT gateway:443 HTTP/1.1\r\nhost: gateway:443\r\nx-envoy-original-path: /mockbin/profile\r\n\r\n"
    assert send_raw(gateway, connect) == 404
    assert send(gateway, "PUT", "/mockbin/profile?mark=1").status == 200
    (entry,) = sink.wait_for_events(1)
    assert (entry.event["request"]["method"], len(sink.entries())) == ("PUT", 1)
