"""Nothing walks around a capture, and a refusal is one to every sender: an application behind the gateway gets no webhook that was
not stored, however its path is spelled, and no refusal becomes a 200, whatever the request calls its content.
"""

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from rig import LOOPBACK, PROJECT, http2
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import StartGateway
from rig.http import Address, Reply, exchange_raw, send
from rig.lives import let_trap
from rig.profile_service import ProfileService
from rig.sns_answers import slow
from rig.sns_sink import SnsSink
from rig.sqs_sink import SqsSink, acknowledge, error
from rig.waiting import PATIENCE, wait_for

StartCapture = Callable[..., Envoy]

# To the first three Envoy answers as to gRPC; to the fourth it does not.
CONTENT_TYPES = ["application/grpc", "application/grpc+json", "application/grpc+proto", "application/grpc-web"]
JSON = "application/json"

SHIPPED = ["access-logger", "capture", "host-signs", "http-filter", "webhook-target"]

# Spellings that one application or another takes for /webhook, which the capture matches; and whether Envoy, as it is configured,
# hands them on as /webhook itself.
SPELLINGS = {
    "/webhook": True,
    "/webhook?x": True,
    "//webhook": True,
    "///webhook": True,
    "/%77ebhook": True,
    "/./webhook": True,
    "/x/../webhook": True,
    "/x/%2e%2e/webhook": True,
    "/x/..%2fwebhook": True,
    "/x%5c..%5cwebhook": True,
    "/x\\..\\webhook": True,
    "/\\webhook": True,
    "/%2Fwebhook": True,
    "http://gateway/webhook": True,
    "http://gateway//webhook": True,
    "/webhook/": False,
    "/webhook//": False,
    "/webhook/.": False,
    "/webhook/x/..": False,
    "/webhook%2f": False,
    "/webhook%2F": False,
    "/webhook%5c": False,
    "/webhook%252f": False,
    "/webhook;a": False,
    "/webhook;a=b/": False,
    "/;a/webhook": False,
    "/%2577ebhook": False,
    "/WEBHOOK": False,
    "/WebHook/": False,
    "/webhook%00": False,
    "/webhook%20": False,
    "/webhook%09": False,
    "/webhook%0a": False,
    "/webhook%3fx": False,
    "/webhook%23x": False,
    "/webhook#x": False,
    "/webhook.": False,
    "/webhook.json": False,
    "\\webhook": False,
    "webhook": False,
    # Of these only lenient decoders and parsers of URLs make the other.
    "/web%0ahook": False,
    "/%u0077ebhook": False,
    "/%c0%afwebhook": False,
    "/x/%c0%ae%c0%ae/webhook": False,
    "/%ef%bd%97ebhook": False,
    "/%ef%bc%8fwebhook": False,
    "/webhoo%e2%84%aa": False,
    "/%c2%a0webhook": False,
}

# They do not stand under the prefix of the wall.
KNOWN_TO_THE_FILTER_ALONE = {
    "/;a/webhook",
    "/%2577ebhook",
    "/web%0ahook",
    "/%u0077ebhook",
    "/%c0%afwebhook",
    "/x/%c0%ae%c0%ae/webhook",
    "/%ef%bd%97ebhook",
    "/%ef%bc%8fwebhook",
    "/webhoo%e2%84%aa",
    "/%c2%a0webhook",
}


def raw_post(path: str, headers: str = "content-length: 2\r\n", body: str = "{}", method: str = "POST") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: {JSON}\r\n{headers}\r\n{body}".encode()


def reached_the_application(reply: Reply | None) -> bool:
    return reply is not None and "x-seen-path" in reply.headers


@pytest.fixture
def with_application(profile_service: ProfileService) -> Callable[[EnvoyConfig], None]:
    return lambda config: config.add_application(profile_service.address)


def without_wall(config: EnvoyConfig) -> None:
    (host,) = config.http_manager["route_config"]["virtual_hosts"]
    host["routes"].clear()


def without_normalisation(config: EnvoyConfig) -> None:
    for setting in ("normalize_path", "merge_slashes", "path_with_escaped_slashes_action"):
        del config.http_manager[setting]


def without_filter(config: EnvoyConfig) -> None:
    manager = config.http_manager
    manager["http_filters"] = [each for each in manager["http_filters"] if each["name"] != "retrohook"]


def check_spellings(gateway: Address, queue: SqsSink, is_stored: Callable[[str], bool]) -> None:
    for path in SPELLINGS:
        queue.requests.clear()
        reply = exchange_raw(gateway, raw_post(path))
        assert reply and not reached_the_application(reply), f"{path}: {reply}"
        if is_stored(path):
            assert (reply.status, len(queue.requests)) == (200, 1), f"{path}: {reply}"
        else:
            assert reply.status in (400, 503) and not queue.requests, f"{path}: {reply}"


def test_no_spelling_of_the_path_walks_around_it(
    start_capture: StartCapture, queue: SqsSink, with_application: Callable[[EnvoyConfig], None]
) -> None:
    envoy = start_capture(queue, with_application)
    check_spellings(envoy.address_of(), queue, lambda path: SPELLINGS[path])
    # The application is there all the same.
    for path in ("/account", "/account/webhook", "/webhoo", "/Account/", "/a;b/c.json"):
        assert reached_the_application(exchange_raw(envoy.address_of(), raw_post(path))), path
    wait_for(lambda: envoy.metric("retrohook_captures_refused_misspelled_total") > 10, "them to be counted")
    lines = [line for line in envoy.log().splitlines() if "another spelling of its path" in line]
    assert len(lines) == 1, "it is said once"


@pytest.mark.parametrize("leave_out", [(without_wall,), (without_wall, without_normalisation)], ids=len)
def test_the_filter_needs_no_wall_for_that(
    start_capture: StartCapture,
    queue: SqsSink,
    with_application: Callable[[EnvoyConfig], None],
    leave_out: tuple[Callable[[EnvoyConfig], None], ...],
) -> None:
    def adjust(config: EnvoyConfig) -> None:
        for each in leave_out:
            each(config)
        with_application(config)

    is_normalised = len(leave_out) == 1
    as_it_is = ("/webhook", "/webhook?x", "http://gateway/webhook")
    envoy = start_capture(queue, adjust)
    check_spellings(envoy.address_of(), queue, lambda path: SPELLINGS[path] if is_normalised else path in as_it_is)


def test_the_wall_needs_no_filter_for_what_is_under_its_prefix(
    start_capture: StartCapture, queue: SqsSink, with_application: Callable[[EnvoyConfig], None]
) -> None:
    def adjust(config: EnvoyConfig) -> None:
        with_application(config)
        config.add_listener_without_retrohook("bare")

    envoy = start_capture(queue, adjust)
    for path in SPELLINGS.keys() - KNOWN_TO_THE_FILTER_ALONE:
        reply = exchange_raw(envoy.address_of("bare"), raw_post(path))
        assert reply and reply.status in (400, 503) and not reached_the_application(reply), f"{path}: {reply}"


@pytest.mark.parametrize("path", ["/webhook", "/webhook/", "/WEBHOOK", "/webhook/other"])
def test_another_method_is_not_allowed_and_none_passes_for_it(
    start_capture: StartCapture, queue: SqsSink, with_application: Callable[[EnvoyConfig], None], path: str
) -> None:
    envoy = start_capture(queue, with_application)
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        for override in ("x-http-method-override", "x-http-method", "x-method-override"):
            request = raw_post(path, f"{override}: POST\r\ncontent-length: 0\r\n", "", method)
            reply = exchange_raw(envoy.address_of(), request)
            assert reply and not reached_the_application(reply), f"{method}: {reply}"
            assert (reply.status, reply.headers["allow"]) == (405, "POST"), f"{method}: {reply}"
    for content_type in CONTENT_TYPES:
        for method in ("GET", "HEAD"):
            head = {":method": method, ":path": path, "content-type": content_type}
            by_1 = send(envoy.address_of(), method, path, {"content-type": content_type})
            for reply in (by_1, http2.exchange(envoy.address_of(), head)):
                assert reply and (reply.status, reply.headers["allow"]) == (405, "POST"), f"{content_type}: {reply}"
    # HTTP/1.1 knows no method in lower case. Over HTTP/2 it is passed on, and an application may take it for the other.
    reply = http2.exchange(envoy.address_of(), {":method": "post", ":path": path}, b"{}")
    assert reply and reply.status == (405 if path == "/webhook/other" else 503), reply
    assert queue.request_count == 0


def test_nothing_else_that_http_has_walks_around_it(
    start_capture: StartCapture, queue: SqsSink, with_application: Callable[[EnvoyConfig], None]
) -> None:
    envoy = start_capture(queue, with_application)
    gateway = envoy.address_of()
    chunked = "transfer-encoding: chunked\r\n"
    for name, request, status in [
        ("continue", raw_post("/webhook", "expect: 100-continue\r\ncontent-length: 2\r\n"), 200),
        ("trailers", raw_post("/webhook", f"{chunked}trailer: x-a\r\n", "2\r\n{}\r\n0\r\nx-a: 1\r\n\r\n"), 200),
        ("two lengths", raw_post("/webhook", f"{chunked}content-length: 2\r\n", "2\r\n{}\r\n0\r\n\r\n"), 400),
        ("websocket", raw_post("/webhook", "connection: upgrade\r\nupgrade: websocket\r\n", "", "GET"), 403),
        ("upgrade", raw_post("/webhook", "connection: upgrade\r\nupgrade: tcp\r\ncontent-length: 2\r\n"), 403),
        ("h2c", raw_post("/webhook", "connection: upgrade, http2-settings\r\nupgrade: h2c\r\ncontent-length: 2\r\n"), None),
        ("CONNECT", b"CONNECT gateway:80 HTTP/1.1\r\nhost: gateway:80\r\n\r\n", 404),
        ("HTTP/1.0", b"POST /webhook HTTP/1.0\r\nhost: gateway\r\ncontent-length: 2\r\n\r\n{}", 426),
        ("no host", b"POST /webhook HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}", 400),
        ("another host", raw_post("/webhook").replace(b"host: gateway", b"host: Other.example:99."), 200),
    ]:
        reply = exchange_raw(gateway, request)
        assert not reached_the_application(reply), f"{name}: {reply}"
        assert status is None or (reply and reply.status == status), f"{name}: {reply}"
    for name, head, status in [
        ("trailers", {":path": "/webhook"}, 200),
        ("no slash", {":path": "webhook"}, None),
        ("absolute", {":path": "http://gateway/webhook"}, None),
        ("empty", {":path": ""}, None),
        ("extended CONNECT", {":method": "CONNECT", ":protocol": "websocket", ":path": "/webhook"}, None),
        ("another scheme", {":scheme": "ftp", ":path": "/webhook"}, None),
    ]:
        reply = http2.exchange(gateway, {**head, "content-type": JSON}, b"{}", ("x-a", "1"))
        assert not reached_the_application(reply), f"{name}: {reply}"
        assert status is None or (reply and reply.status == status), f"{name}: {reply}"


def test_no_header_gives_an_application_another_path(start_capture: StartCapture, queue: SqsSink) -> None:
    with socket.create_server((LOOPBACK, 0)) as application:
        application.settimeout(PATIENCE)
        gateway = start_capture(queue, lambda config: config.add_application(application.getsockname())).address_of()
        with socket.create_connection(gateway) as sender:
            # In CGI and WSGI `_` is the same as `-`.
            names = ("x-original-url", "X-Rewrite-URL", "x_original_url", "X_Original-url", "x-rewrite_url", "x_rewrite-url")
            others = "".join(f"{name}: /webhook\r\n" for name in names)
            sender.sendall(raw_post("/account", f"{others}content-length: 2\r\n"))
            connection, _ = application.accept()
            with connection:
                head = connection.recv(65536)
    assert head.startswith(b"POST /account HTTP/1.1") and b"/webhook" not in head


Ask = Callable[[Address, str, dict[str, str], bytes], Reply | None]


def over_http_1(gateway: Address, path: str, headers: dict[str, str], body: bytes) -> Reply | None:
    return send(gateway, "POST", path, headers, body)


def over_http_2(gateway: Address, path: str, headers: dict[str, str], body: bytes) -> Reply | None:
    return http2.exchange(gateway, {":path": path, **headers}, body)


@pytest.fixture(params=[over_http_1, over_http_2], ids=["HTTP/1.1", "HTTP/2"])
def ask(request: pytest.FixtureRequest) -> Ask:
    return request.param


@pytest.mark.parametrize("content_type", [*CONTENT_TYPES, JSON])
def test_a_refusal_is_one_whatever_the_content_is_called(
    start_capture: StartCapture, queue: SqsSink, ask: Ask, content_type: str
) -> None:
    verify = {"scheme": "github", "secrets": ["It's a Secret to Everybody"], "on_failure": "reject"}
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    good = {"content-type": content_type, "x-hub-signature-256": signature}
    body = b"Hello, World!"
    response = {"status": 202, "body": "thank you", "content_type": "text/plain"}
    envoy = start_capture(
        queue, capture={"verify": verify, "max_body_bytes": 1000, "response": response}, timeout_ms=800, max_captures=1
    )
    gateway = envoy.address_of()

    def status(path: str, body: bytes, headers: dict[str, str] = good) -> int:
        reply = ask(gateway, path, headers, body)
        assert reply and "grpc-status" not in reply.headers, reply
        return reply.status

    assert status("/webhook", body, {"content-type": content_type}) == 401
    assert status("/webhook", b"x" * 1001) == 413
    assert status("/webhook/", body) == 503, "another spelling"
    assert status("/webhook/other", body) == 503, "the wall"
    assert status("/account", body) == 404, "no route"
    queue.answers = error(500)
    reply = ask(gateway, "/webhook", good, body)
    assert reply and (reply.status, reply.headers["retry-after"]) == (503, "5"), "SQS is down"
    queue.answers = slow(0.4, acknowledge)
    with socket.create_connection(gateway) as other:
        before = queue.request_count
        signed = f"content-length: {len(body)}\r\nx-hub-signature-256: {signature}\r\n"
        other.sendall(raw_post("/webhook", signed, body.decode()))
        wait_for(lambda: queue.request_count > before, "the other to be under way")
        assert status("/webhook", body) == 503, "too many at once"
    queue.answers = acknowledge
    wait_for(lambda: status("/webhook", body) == 202, "its place to be free")

    # A success is what was configured. Envoy gives an answer to gRPC no body.
    reply = ask(gateway, "/webhook", good, body)
    is_grpc = content_type in CONTENT_TYPES[:3]
    assert reply and (reply.status, reply.body) == (202, b"" if is_grpc else b"thank you")
    assert reply.headers.get("content-type") == (None if is_grpc else "text/plain")
    assert len(reply.headers["x-retrohook-message-id"]) == 36
    assert queue.requests[-1].message["headers"]["content-type"] == content_type


@pytest.mark.parametrize("content_type", [*CONTENT_TYPES, JSON])
def test_a_sender_who_falls_silent_or_goes_on_for_ever_is_told_so(
    start_capture: StartCapture, queue: SqsSink, content_type: str
) -> None:
    def hurry(config: EnvoyConfig) -> None:
        config.http_manager["request_timeout"] = "2s"

    gateway = start_capture(queue, hurry, timeout_ms=1000).address_of()
    head = raw_post("/webhook", "content-length: 100\r\n", "").replace(JSON.encode(), content_type.encode())
    silent = {":path": "/webhook", "content-type": content_type, "content-length": "100"}
    for reply in (exchange_raw(gateway, head), http2.exchange(gateway, silent, left_open=True)):
        assert reply and reply.status == 408, "it is silent"
    with socket.create_connection(gateway) as sender:
        sender.sendall(head)
        started = time.monotonic()
        sender.setblocking(False)
        while time.monotonic() < started + 10:
            try:
                received = sender.recv(4096)
                break
            except BlockingIOError:
                sender.send(b"x")
                time.sleep(0.2)
    assert received.startswith(b"HTTP/1.1 408 "), "it goes on with a byte now and then"
    assert time.monotonic() < started + 5
    assert queue.request_count == 0


@pytest.mark.parametrize("content_type", [*CONTENT_TYPES, JSON])
def test_what_is_refused_before_or_without_the_filter_is_no_success(
    start_capture: StartCapture, queue: SqsSink, content_type: str
) -> None:
    def trapping(config: EnvoyConfig) -> None:
        let_trap(config)
        config.plugin["reload_config"]["backoff"]["base_interval"] = "2s"

    envoy = start_capture(queue, trapping)
    headers = {"content-type": content_type}
    reply = send(envoy.address_of(), "POST", "/webhook#x", headers, "{}")
    assert reply.status in (400, 503), "Envoy takes no fragment"
    for _ in range(2):
        # The first trap is forgiven at once; the second is waited for.
        send(envoy.address_of(), "POST", "/webhook", {**headers, "x-retrohook-trap": "1"}, "{}")
    queue.requests.clear()
    reply = send(envoy.address_of(), "POST", "/webhook", headers, "{}")
    assert reply.status == 503 and not queue.requests


def test_what_a_service_sees_as_a_profile_is_an_event(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    gateway = start_gateway(way, sink.address).address_of()
    for path in ("/mockbin/x/..%2fprofile", "/mockbin/x%5c..%5cprofile", "//mockbin//x/..//profile", "/mockbin%2Fprofile"):
        sink.forget()
        request = raw_post(path, method="PUT")
        reply = exchange_raw(gateway, request)
        assert reply and (reply.status, reply.headers["x-seen-path"]) == (200, "/profile"), f"{path}: {reply}"
        (entry,) = sink.wait_for_events(1)
        assert entry.event["request"]["uri"] == "/mockbin/profile", path


def http_managers(document: Any) -> list[dict[str, Any]]:
    (listener,) = document["static_resources"]["listeners"]
    ((manager,),) = (chain["filters"] for chain in listener["filter_chains"])
    return [manager["typed_config"], listener]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_file_normalises_paths_and_bounds_clients(name: str) -> None:
    manager, listener = http_managers(yaml.safe_load((PROJECT / "envoy" / f"{name}.yaml").read_text()))
    assert manager["normalize_path"] and manager["merge_slashes"]
    assert manager["path_with_escaped_slashes_action"] == "UNESCAPE_AND_FORWARD"
    assert manager["request_timeout"].endswith("s") and manager["request_headers_timeout"].endswith("s")
    assert manager["http2_protocol_options"]["max_concurrent_streams"] == 100
    assert listener["per_connection_buffer_limit_bytes"] <= 524_288


def test_a_connection_has_so_many_streams_and_a_webhook_so_much_of_the_buffer(
    start_capture: StartCapture, queue: SqsSink, ask: Ask
) -> None:
    envoy: Envoy = start_capture(queue)
    assert http2.streams_at_once(envoy.address_of()) == 100
    for size, status in ((262_144, 200), (262_145, 413), (2_000_000, 413)):
        reply = ask(envoy.address_of(), "/webhook", {"content-type": "text/plain"}, b"x" * size)
        assert reply and reply.status == status, size
    assert envoy.metric("http_downstream_rq_too_large") == 0
