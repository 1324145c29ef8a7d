"""The callback example: what SNS posts to it expires pages, and what others post does not."""

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from callback_app import CallbackApp, expire_page, pages_of
from page_cache import PageCache
from rig import PROJECT
from rig.http import send, send_raw
from rig.process import ServerProcess
from rig.profile_service import ProfileService
from rig.waiting import wait_for
from sns_certificate import Certificates, sns_host
from sns_signature import SignatureCheck
from sns_subscriber import SeenEvents, Subscriber

HOST = "https://sns.us-east-1.amazonaws.com"
EVENT = {"event_id": "0193-one", "request": {"method": "PUT", "uri": "/mockbin/profile?a=1"}}


class World:
    """The application with its origin, whose pages count how often they were fetched."""

    def __init__(self, signer: Any, topic_arn: str):
        self.fetches = 0
        self.confirmed: list[str] = []
        self.is_aws_reachable = True
        self._signer = signer
        self.origin_fault: Exception | None = None
        cache = PageCache(self._page)
        check = SignatureCheck(Certificates(sns_host(topic_arn), signer.roots, self._certificate).at).check
        subscriber = Subscriber(topic_arn, expire_page(cache), check, self.confirmed.append)
        self.app = CallbackApp(("127.0.0.1", 0), cache, subscriber, threads=4, seconds=1)

    def _page(self, path: str) -> bytes:
        self.fetches += 1
        if self.origin_fault:
            raise self.origin_fault
        return f"{path} {self.fetches}".encode()

    def _certificate(self, url: str) -> bytes:
        if not self.is_aws_reachable:
            raise OSError("no route to AWS")
        return self._signer.fetch(url)

    def post(self, message: Any) -> int:
        return send(self.app.server_address, "POST", "/events", body=json.dumps(message)).status

    def get(self, path: str = "/mockbin/profile") -> tuple[str, str]:
        reply = send(self.app.server_address, "GET", path)
        return reply.headers["x-cache"], reply.body.decode()


def confirmation_url(topic_arn: str, token: str = "2336412f37") -> str:
    """As SNS writes it."""
    return f"{HOST}/?" + urlencode({"Action": "ConfirmSubscription", "TopicArn": topic_arn, "Token": token})


@pytest.fixture
def world(signer: Any, topic_arn: str) -> Iterator[World]:
    world = World(signer, topic_arn)
    thread = threading.Thread(target=world.app.serve_forever, args=(0.01,))
    thread.start()
    yield world
    world.app.shutdown()
    world.app.server_close()
    thread.join()


def test_an_event_expires_its_page_and_no_other(world: World, signer: Any) -> None:
    assert world.get() == ("miss", "/mockbin/profile 1")
    assert world.get("/mockbin/other") == ("miss", "/mockbin/other 2")
    assert world.get() == ("hit", "/mockbin/profile 1")
    assert world.post(signer.notification(json.dumps(EVENT))) == 200
    assert world.get() == ("miss", "/mockbin/profile 3")
    assert world.get("/mockbin/other") == ("hit", "/mockbin/other 2")


def test_the_same_event_is_handled_once(world: World, signer: Any) -> None:
    assert world.post(signer.notification(json.dumps(EVENT))) == 200
    world.get()
    again = signer.notification(json.dumps(EVENT), MessageId="another-message")
    assert world.post(again) == 200, "SNS must not send it a third time"
    assert world.get()[0] == "hit"
    assert world.post(signer.notification(json.dumps({**EVENT, "event_id": "0193-two"}))) == 200
    assert world.get()[0] == "miss"


@pytest.mark.parametrize("changes", [{"Message": json.dumps(EVENT) + " "}, {"SigningCertURL": "https://example.com/x"}])
def test_a_forged_message_changes_nothing(world: World, signer: Any, changes: dict[str, str]) -> None:
    world.get()
    assert world.post({**signer.notification(json.dumps(EVENT)), **changes}) == 403
    assert world.get()[0] == "hit"


def test_another_topic_is_not_believed(world: World, signer: Any) -> None:
    foreign = "arn:aws:sns:us-east-1:999999999999:foreign"
    world.get()
    assert world.post(signer.notification(json.dumps(EVENT), TopicArn=foreign)) == 403
    assert world.post(signer.confirmation(confirmation_url(foreign), TopicArn=foreign)) == 403
    assert world.get()[0] == "hit"
    assert world.confirmed == []
    assert signer.fetched == [], "not even its certificate"


def test_a_subscription_is_confirmed(world: World, signer: Any, topic_arn: str) -> None:
    url = confirmation_url(topic_arn)
    assert world.post(signer.confirmation(url)) == 200
    assert world.confirmed == [url]


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://example.com/?{query}",
        "http://sns.us-east-1.amazonaws.com/?{query}",
        "https://sns.us-east-1.amazonaws.com:8443/?{query}",
        "https://sns.us-east-1.amazonaws.com:443@example.com/?{query}",
        "https://user@sns.us-east-1.amazonaws.com/?{query}",
        "https://sns.eu-west-1.amazonaws.com/?{query}",
        "https://sns.us-east-1.amazonaws.com/x?{query}",
        "https://sns.us-east-1.amazonaws.com/?{query}#x",
        "https://sns.us-east-1.amazonaws.com/?{query}&Action=DeleteTopic",
        "https://sns.us-east-1.amazonaws.com/?Action=DeleteTopic",
        "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37",
        "https://sns.us-east-1.amazonaws.com/",
        "https://[",
        "file:///etc/passwd",
        "",
    ],
)
def test_no_other_address_is_ever_fetched_to_confirm(world: World, signer: Any, topic_arn: str, url: str) -> None:
    query = confirmation_url(topic_arn).partition("?")[2]
    assert world.post(signer.confirmation(url.format(query=query))) in (400, 403)
    assert world.post(signer.confirmation(confirmation_url(topic_arn, token="another"))) == 403
    assert world.confirmed == []


def test_that_it_was_unsubscribed_is_said(world: World, signer: Any, capfd: pytest.CaptureFixture[str]) -> None:
    message = signer.confirmation(HOST, Type="UnsubscribeConfirmation")
    assert world.post(message) == 200
    assert world.confirmed == []
    assert "UNSUBSCRIBED" in capfd.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "not JSON", "[]", "{}", '"text"', "5", "null", "[" * 100_000, "9" * 5000,
        '{"event_id": "x"}', '{"event_id": ["x"]}', '{"event_id": "x", "request": {"uri": 5}}',
        '{"event_id": "x", "request": {"uri": "//["}}', json.dumps({**EVENT, "event_id": "x" * 1000}),
    ],
)  # fmt: skip
def test_a_message_that_is_no_event_is_not_tried_again(world: World, signer: Any, text: str) -> None:
    assert world.post(signer.notification(text)) == 400


@pytest.mark.parametrize("message", ["text", [], {}, None])
def test_what_is_no_sns_message_is_refused(world: World, message: Any) -> None:
    assert world.post(message) in (400, 403)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000, b'{"TopicArn": "' + b"x" * 100_000 + b'"}'])
def test_what_is_no_json_is_refused(world: World, body: bytes) -> None:
    assert send(world.app.server_address, "POST", "/events", body=body).status in (400, 403)


def test_sns_is_asked_to_come_again_while_its_certificate_cannot_be_had(world: World, signer: Any) -> None:
    world.is_aws_reachable = False
    world.get()
    assert world.post(signer.notification(json.dumps(EVENT))) == 503
    world.is_aws_reachable = True
    wait_for(lambda: world.post(signer.notification(json.dumps(EVENT))) == 200, "it to be believed")
    assert world.get()[0] == "miss"


def test_only_the_callback_route_takes_posts(world: World) -> None:
    assert send(world.app.server_address, "POST", "/mockbin/profile", body="{}").status == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("", 411),
        ("content-length: x\r\n", 411),
        ("content-length: -1\r\n", 411),
        ("content-length: +1\r\n", 411),
        ("content-length: 1_0\r\n", 411),
        ("content-length: 2\r\ncontent-length: 2\r\n", 411),
        ("transfer-encoding: chunked\r\n", 411),
        ("content-length: 2097153\r\n", 413),
        ("content-length: 999999999\r\n", 413),
    ],
)
def test_a_body_of_unknown_or_great_length_is_not_read(world: World, headers: str, status: int) -> None:
    request = f"POST /events HTTP/1.1\r\nhost: x\r\n{headers}\r\n"
    assert send_raw(world.app.server_address, request.encode()) == status


@pytest.mark.parametrize(
    "target",
    ["@example.com/", ":9000/", "http://example.com/x", "x", "*", "//example.com:99999/ x", "/\xe9", "/" + "a" * 3000, "?/"],
)
def test_no_other_host_or_port_is_ever_asked_for_a_page(world: World, target: str) -> None:
    request = f"GET {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode("latin-1")
    assert send_raw(world.app.server_address, request) in (400, 404)
    assert world.fetches == 0


@pytest.mark.parametrize("path", ["@example.com/", ":9000/", ".example.com/", "0/"])
def test_what_is_behind_the_origin_cannot_change_it(path: str) -> None:
    with pytest.raises(ValueError, match="another host"):
        pages_of("http://127.0.0.1:9")(path)


@pytest.mark.parametrize("origin", ["", "gateway:8000", "file:///etc", "http://", "ftp://gateway/", "http://gateway/?a=1"])
def test_an_origin_is_an_address_of_http(origin: str) -> None:
    with pytest.raises(ValueError, match="no origin"):
        pages_of(origin)


@pytest.mark.parametrize("fault", [OSError("no route"), ValueError("a control character in the path")])
def test_an_origin_that_fails_is_a_502_and_is_asked_again(world: World, fault: Exception) -> None:
    world.origin_fault = fault
    assert send(world.app.server_address, "GET", "/mockbin/profile").status == 502
    world.origin_fault = None
    assert world.get()[0] == "miss"


def hold(app: CallbackApp, count: int, first_bytes: bytes = b"GET / HT") -> list[socket.socket]:
    """Connections of clients that do not go on."""
    connections = [socket.create_connection(app.server_address, timeout=10) for _ in range(count)]
    for connection in connections:
        connection.sendall(first_bytes)
    return connections


def test_clients_that_say_nothing_are_hung_up_on_and_others_are_served(world: World) -> None:
    before = threading.active_count()
    connections = hold(world.app, 12)
    time.sleep(0.3)
    # Four of them, and for each one that hangs up in time.
    assert threading.active_count() - before <= 8
    assert world.get()[0] == "miss", "it has waited for a thread"
    for connection in connections:
        assert connection.recv(1) == b""
        connection.close()


@pytest.mark.parametrize("first_bytes", [b"GET / HTTP/1.1\r\n", b"POST /events HTTP/1.1\r\ncontent-length: 500\r\n\r\n"])
def test_a_byte_now_and_then_does_not_hold_a_thread(world: World, first_bytes: bytes) -> None:
    (connection,) = hold(world.app, 1, first_bytes)
    begin = time.monotonic()
    with pytest.raises(OSError):
        while time.monotonic() < begin + 10:
            connection.sendall(b"a")
            time.sleep(0.1)
    assert time.monotonic() - begin < 5


def test_a_connection_carries_one_request(world: World) -> None:
    (connection,) = hold(world.app, 1, b"GET /a HTTP/1.1\r\nhost: x\r\n\r\nGET /b HTTP/1.1\r\nhost: x\r\n\r\n")
    received = b""
    while piece := connection.recv(65536):
        received += piece
    assert received.count(b"HTTP/1.1 200") == 1 and b"connection: close" in received.lower()


def test_an_event_that_is_being_handled_comes_again(topic_arn: str) -> None:
    begun, gate = threading.Event(), threading.Event()
    handled: list[str] = []

    def on_event(event: dict[str, Any]) -> None:
        begun.set()
        assert gate.wait(10)
        handled.append(event["event_id"])

    subscriber = Subscriber(topic_arn, on_event, lambda _: None)
    body = json.dumps({"Type": "Notification", "TopicArn": topic_arn, "Message": json.dumps(EVENT)}).encode()
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(subscriber.handle(body)))
    thread.start()
    assert begun.wait(10)
    assert subscriber.handle(body) == 503, "in case the first one fails"
    gate.set()
    thread.join(10)
    assert (statuses, subscriber.handle(body), handled) == ([200], 200, [EVENT["event_id"]])


def test_an_event_that_failed_is_handled_when_it_comes_again(topic_arn: str) -> None:
    faults = [RuntimeError("as the test asked"), OSError("the database is away")]
    handled: list[str] = []

    def on_event(event: dict[str, Any]) -> None:
        if faults:
            raise faults.pop(0)
        handled.append(event["event_id"])

    subscriber = Subscriber(topic_arn, on_event, lambda _: None)
    body = json.dumps({"Type": "Notification", "TopicArn": topic_arn, "Message": json.dumps(EVENT)}).encode()
    assert [subscriber.handle(body) for _ in range(4)] == [500, 503, 200, 200]
    assert handled == [EVENT["event_id"]]


def test_a_page_fetched_while_it_changed_is_not_kept() -> None:
    def fetch(path: str) -> bytes:
        cache.expire(path)
        return b"old"

    cache = PageCache(fetch)
    assert cache.get("/x") == (b"old", False)
    assert cache.get("/x") == (b"old", False)


def test_the_cache_is_bounded_and_keeps_what_was_asked_for_last() -> None:
    cache = PageCache(lambda _: b"x" * 700, most_bytes=3100)
    for path in ("/a", "/b", "/c"):
        cache.get(path)
    assert cache.get("/a")[1]
    cache.get("/d")
    assert [cache.get(path)[1] for path in ("/a", "/c", "/d")] == [True, True, True]
    assert not cache.get("/b")[1]
    for number in range(1000):
        cache.get(f"/{number}")
    assert cache._bytes <= 3100 and len(cache._pages) <= 3


def test_a_page_that_is_too_large_is_shown_and_not_kept() -> None:
    cache = PageCache(lambda _: b"x" * 5000, most_bytes=3100)
    assert [cache.get("/x") for _ in range(2)] == [(b"x" * 5000, False)] * 2
    assert cache._bytes == 0


def test_a_change_that_nobody_heard_of_is_seen_after_a_while() -> None:
    now = 0.0
    cache = PageCache(lambda _: b"x", max_age_seconds=60, clock=lambda: now)
    cache.get("/x")
    now = 59.0
    assert cache.get("/x")[1]
    now = 60.0
    assert not cache.get("/x")[1]


def test_seen_events_are_bounded() -> None:
    seen = SeenEvents(capacity=2)

    def is_new(event_id: str) -> bool:
        return seen.handle_once(event_id, lambda: None)

    assert [is_new(event_id) for event_id in ("a", "b", "c")] == [True] * 3
    assert [is_new(event_id) for event_id in ("b", "c", "a")] == [False, False, True]


def test_sigterm_ends_it_in_order_and_what_is_under_way_is_answered(tmp_path: Path, topic_arn: str) -> None:
    app = PROJECT / "examples" / "callback_app.py"
    with ProfileService(tmp_path / "service.log") as service:
        origin = f"http://{service.address[0]}:{service.address[1]}"
        command = [sys.executable, str(app), "--origin", origin, "--topic-arn", topic_arn, "--port", "0"]
        with ServerProcess(command, tmp_path / "app.log") as process:
            address = ("127.0.0.1", int(process.wait_for_log(r"listening on port (\d+)")[1]))
            assert "NOT checked" not in process.log(), "with Amazon's roots"
            with socket.create_connection(address, timeout=10) as connection:
                connection.sendall(b"GET /profile HTTP/1.1\r\n")
                wait_for(lambda: send(address, "GET", "/profile").status == 200, "it to serve")
                os.kill(process.pid, signal.SIGTERM)
                time.sleep(0.3)
                connection.sendall(b"host: x\r\n\r\n")
                assert connection.recv(12) == b"HTTP/1.1 200"
            assert process.wait_for_exit() == 0


@pytest.mark.parametrize("changes", [{"--topic-arn": "events"}, {"--origin": "gateway:8000"}, {"--ca-file": "/none"}])
def test_what_cannot_work_is_said_at_the_start(tmp_path: Path, topic_arn: str, changes: dict[str, str]) -> None:
    options = {"--origin": "http://127.0.0.1:9", "--topic-arn": topic_arn, "--port": "0", **changes}
    command = [sys.executable, str(PROJECT / "examples" / "callback_app.py"), *(word for item in options.items() for word in item)]
    with ServerProcess(command, tmp_path / "app.log") as process:
        assert process.wait_for_exit() == 1
        assert process.log().startswith("callback_app.py: ")
