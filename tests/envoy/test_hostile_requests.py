"""Requests that no friendly client sends: an answer and a clean event, or a refusal of Envoy's; never a trap."""

import pytest
from rig.envoy_config import EnvoyConfig
from rig.gateway import StartGateway
from rig.http import send, send_raw
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

# For a message with its attributes, and for a batch of such.
SNS_LIMIT = 262_144


def put(target: bytes = b"/mockbin/profile", headers: bytes = b"") -> bytes:
    return b"PUT " + target + b" HTTP/1.1\r\nhost: gateway\r\ncontent-length: 0\r\n" + headers + b"\r\n"


REQUESTS = {
    "invalid UTF-8 in a header": put(headers=b"x-odd: \xff\xfe\xc3\x28\r\n"),
    "Latin-1 in a header": put(headers=b"x-odd: caf\xe9\r\n"),
    "invalid UTF-8 in the path": put(b"/mockbin/profile/\xff\xfe"),
    "invalid UTF-8 in the query": put(b"/mockbin/profile?a=\xff\xfe"),
    "percent-encoded rubbish": put(b"/mockbin/profile?%ff=%fe&%=%zz&&=&a%00b=%00"),
    "no path": b"OPTIONS * HTTP/1.1\r\nhost: gateway\r\n\r\n",
    "absolute target": put(b"http://gateway/mockbin/profile"),
    "CONNECT": b"CONNECT gateway:443 HTTP/1.1\r\nhost: gateway:443\r\n\r\n",
    "two slashes": put(b"//mockbin//profile"),
    "path of 50 KB": put(b"/mockbin/profile?a=" + b"x" * 50_000),
    "50 equal headers": put(headers=b"x-many: of these\r\n" * 50),
    "quotes and controls": put(b'/mockbin/profile?"a"=\'<b>&amp;', b'x-odd: "\t\\ </Message>&Action=DeleteTopic\r\n'),
    "a header that is a template": put(headers=b"x-odd: ${path.id} ${request.headers.authorization}\r\n"),
}


def test_the_gateway_lives_on_and_so_do_events(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    routes = [{"method": "*", "matcher": "", "status": ["*"], "attributes": {"odd": "${request.headers.x-odd}"}}]
    envoy = start_gateway(way, sink.address, routes=routes)
    gateway = envoy.address_of()
    for number, (name, request) in enumerate(REQUESTS.items()):
        sink.forget()
        status = send_raw(gateway, request)
        last = f"/mockbin/profile?last={number}"
        assert send(gateway, "PUT", last).status == 200, name

        def uris(name: str = name) -> list[str]:
            requests = [entry.event["request"] for entry in sink.entries()]
            assert all(requests), f"{name}: JSON, whatever came"
            return [request["uri"] for request in requests]

        events = 2 if status == 200 else 1
        wait_for(lambda last=last, events=events: last in uris() and len(uris()) >= events, f"{name}: the events")
        assert all(sent.parameters["Action"] == "PublishBatch" for sent in sink.requests if sent.is_batch), name


def test_a_megabyte_of_headers_becomes_an_event_that_sns_takes(
    start_gateway: StartGateway, sink: SnsSink, way: str
) -> None:
    def allow_big_headers(config: EnvoyConfig) -> None:
        config.http_manager["max_request_headers_kb"] = 2048
        config.http_manager["common_http_protocol_options"] = {"max_headers_count": 1000}

    envoy = start_gateway(way, sink.address, adjust=allow_big_headers)
    headers = b"".join(b"x-big-%d: %s\r\n" % (number, b"x" * 50_000) for number in range(20))
    assert send_raw(envoy.address_of(), put(headers=headers)) == 200
    (entry,) = sink.wait_for_events(1)
    assert entry.size <= SNS_LIMIT
    assert entry.event["truncated"]
    assert entry.event["request"]["uri"] == "/mockbin/profile"


def test_batches_of_big_events_stay_within_what_sns_takes(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    envoy = start_gateway(way, sink.address)
    for number in range(12):
        headers = {f"x-big-{part}": "y" * 10_000 for part in range(5)}
        assert send(envoy.address_of(), "PUT", f"/mockbin/profile?mark={number}", headers).status == 200
    sink.wait_for_events(12)
    assert sink.marks == set(range(12))
    for request in sink.requests:
        assert sum(entry.size for entry in request.entries) <= SNS_LIMIT


def test_a_forged_original_path_is_not_believed(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    def without_rewrite(config: EnvoyConfig) -> None:
        # Where the router rewrites nothing, it also overwrites nothing.
        (route,) = config.http_manager["route_config"]["virtual_hosts"][0]["routes"]
        del route["route"]["regex_rewrite"]

    envoy = start_gateway(
        way, sink.address, adjust=without_rewrite, routes=[{"method": "PUT", "matcher": "forged|last"}]
    )
    assert send(envoy.address_of(), "PUT", "/mockbin/profile", {"x-envoy-original-path": "/forged"}).status == 200
    assert send(envoy.address_of(), "PUT", "/mockbin/last/profile").status == 200
    (entry,) = sink.wait_for_events(1)
    assert entry.event["request"]["uri"] == "/mockbin/last/profile"


def forge(config: EnvoyConfig, use_remote_address: bool, rewrite: str) -> None:
    (route,) = config.http_manager["route_config"]["virtual_hosts"][0]["routes"]
    regex = route["route"].pop("regex_rewrite")
    if rewrite == "regex":
        route["route"]["regex_rewrite"] = regex
    elif rewrite == "prefix":
        # Without it, the service would get //profile.
        route["match"] = {"prefix": "/mockbin/"}
        route["route"]["prefix_rewrite"] = "/"
    config.http_manager["use_remote_address"] = use_remote_address
    # Whoever is inside is believed more by Envoy.
    inside = {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}
    config.http_manager["internal_address_config"] = inside


@pytest.mark.parametrize("use_remote_address", [True, False])
@pytest.mark.parametrize("rewrite", ["regex", "prefix", "none"])
def test_a_forged_original_path_is_not_believed_whatever_envoy_believes(
    start_gateway: StartGateway, sink: SnsSink, way: str, use_remote_address: bool, rewrite: str
) -> None:
    envoy = start_gateway(
        way,
        sink.address,
        adjust=lambda config: forge(config, use_remote_address, rewrite),
        routes=[{"method": "PUT", "matcher": "forged|mockbin/last"}],
    )
    gateway = envoy.address_of()
    assert send(gateway, "PUT", "/mockbin/profile", {"x-envoy-original-path": "/forged"}).status == 200
    # Nor does one hide an exchange.
    assert send(gateway, "PUT", "/mockbin/last/profile", {"x-envoy-original-path": "/hidden"}).status == 200
    (entry,) = sink.wait_for_events(1)
    assert entry.event["request"]["uri"] == "/mockbin/last/profile"
    assert "x-envoy-original-path" not in entry.event["request"]["headers"]
    wait_for(lambda: envoy.metric("retrohook_events_matched_total") == 1, "the counter")


@pytest.mark.parametrize("use_remote_address", [True, False])
def test_without_trust_the_own_path_counts_and_the_log_says_what_is_missing(
    start_gateway: StartGateway, sink: SnsSink, use_remote_address: bool
) -> None:
    def without_wall(config: EnvoyConfig) -> None:
        del config.http_manager["early_header_mutation_extensions"]
        config.http_manager["use_remote_address"] = use_remote_address

    routes = [{"method": "PUT", "matcher": "^/(forged|mockbin)/|^/last"}]
    envoy = start_gateway("access-logger", sink.address, adjust=without_wall, routes=routes, trust_original_path=False)
    gateway = envoy.address_of()
    assert send(gateway, "PUT", "/mockbin/profile").status == 200
    wait_for(lambda: "trust_original_path" in envoy.log(), "the warning")
    assert send(gateway, "PUT", "/mockbin/last/profile", {"x-envoy-original-path": "/forged"}).status == 200
    (entry,) = sink.wait_for_events(1)
    assert entry.event["request"]["uri"] == "/last/profile", "what the router has made of it"
    assert envoy.log().count("trust_original_path") == 1
