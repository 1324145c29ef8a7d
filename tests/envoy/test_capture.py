"""Webhooks through real Envoy: stored before they are answered, and answered 2xx only if they are stored."""

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rig import PROJECT
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import wasm_path
from rig.http import send
from rig.http2 import post
from rig.moto import Moto
from rig.sns_answers import first, slow
from rig.sqs_sink import FAULTS, SqsSink, acknowledge, error
from rig.waiting import PATIENCE, wait_for
from rig.webhook_stage import SECRET, signed

sys.path.insert(0, str(PROJECT / "examples"))
from webhook import webhook_of  # noqa: E402

EVENT = '{"id":"evt_1","object":"event", "amount":1.50}'

StartCapture = Callable[..., Envoy]


@pytest.fixture
def start(start_capture: StartCapture) -> StartCapture:
    return start_capture


def test_a_webhook_is_answered_when_it_is_stored(start: StartCapture, queue: SqsSink) -> None:
    verify = {"scheme": "stripe", "secrets": [SECRET]}
    envoy = start(queue, capture={"verify": verify, "response": {"status": 202, "body": "{}", "content_type": "application/json"}})
    headers = {**signed(EVENT), "authorization": "Bearer hunter2"}
    reply = send(envoy.address_of(), "POST", "/webhook?a=1", headers, EVENT)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (202, b"{}", "application/json")
    (request,) = queue.requests
    assert webhook_of(request.fields["MessageBody"]).raw_body == EVENT.encode(), "as it was received"
    assert request.attributes == {
        "id": request.message["id"], "source": "stripe", "verified": "true", "capture": "POST ^/webhook$",
        "sender_id": "evt_1", "content_type": "application/json",
    }  # fmt: skip
    message = request.message
    assert (message["path"], message["query"], message["verified"]) == ("/webhook", "a=1", True)
    assert message["headers"]["stripe-signature"] == headers["stripe-signature"]
    assert "authorization" not in message["headers"] and "hunter2" not in request.fields["MessageBody"]
    assert len(reply.headers["x-retrohook-message-id"]) == 36


def test_a_bad_signature_is_marked_or_rejected(start: StartCapture, queue: SqsSink) -> None:
    verify = {"scheme": "stripe", "secrets": ["whsec_another"]}
    marking = start(queue, capture={"verify": verify})
    headers = signed(EVENT)
    assert send(marking.address_of(), "POST", "/webhook", headers, EVENT).status == 200
    (request,) = queue.requests
    assert request.attributes["verified"] == "false"
    assert (request.message["verified"], request.message["verify_error"]) == (False, "no signature matches")
    assert request.message["headers"]["stripe-signature"] == headers["stripe-signature"], "it can be checked again"

    rejecting = start(queue, capture={"verify": {**verify, "on_failure": "reject"}})
    assert send(rejecting.address_of(), "POST", "/webhook", headers, EVENT).status == 401
    assert queue.request_count == 1
    wait_for(lambda: rejecting.metric("retrohook_captures_refused_unverified_total") == 1, "it to be counted")


def read_all(envoy: Envoy, request: bytes) -> bytes:
    """The status line and all that is before the body of the last reply."""
    with socket.create_connection(envoy.address_of(), timeout=PATIENCE) as connection:
        connection.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n"):
            received += connection.recv(65536)
        return received


HEAD = b"POST /webhook HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"


def test_every_way_to_send_a_body(start: StartCapture, queue: SqsSink) -> None:
    envoy = start(queue)
    chunks = b"7\r\n[1, 2, \r\n3\r\n3] \r\n"
    for name, request, body in [
        ("empty", HEAD + b"content-length: 0\r\n\r\n", '""'),
        ("without a length", HEAD + b"\r\n", '""'),
        ("chunked", HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n", "[1, 2, 3] "),
        ("chunked and empty", HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n", '""'),
        ("trailers", HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\nx-a: 1\r\n\r\n", "[1, 2, 3] "),
        ("expect", HEAD + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n{}", "{}"),
    ]:
        queue.requests.clear()
        assert b"HTTP/1.1 200" in read_all(envoy, request), name
        assert f'"body":{body},"headers"' in queue.requests[-1].fields["MessageBody"], name
    assert send(envoy.address_of(), "POST", "/webhook", {}, "x" * 262_144).status == 200, "as large as it may be"
    assert send(envoy.address_of(), "POST", "/webhook", {}, b"\xff\x00").status == 200
    assert queue.requests[-1].message["encoding"] == "base64"


ODD_BODIES: list[tuple[str, bytes]] = [
    ("application/json", b' {"b": 1.10, "a":1e400,"b" :[ ]}\r\n'),
    ("application/json", '["\\u00e9\\ud800 \\/", "\\",\\"body\\":", "é😀\u2028\x7f"]'.encode()),
    ("application/json", b"[" + b"7" * 5000 + b"]"),
    ("application/json", b"-0.0"),
    ("application/json", b'"text"'),
    ("application/json", b"[" * 101 + b"]" * 101),
    ("application/json", b'{"cut":'),
    ("text/plain", "a=1&b=2 \x00\x1b é".encode()),
    ("text/plain", "\ufeff[1] \uffff".encode()),
    ("application/octet-stream", bytes(range(256))),
]


def test_a_reader_has_what_was_sent_byte_for_byte(start: StartCapture, queue: SqsSink) -> None:
    envoy = start(queue)
    for content_type, body in ODD_BODIES:
        queue.requests.clear()
        assert send(envoy.address_of(), "POST", "/webhook", {"content-type": content_type}, body).status == 200
        assert webhook_of(queue.requests[-1].fields["MessageBody"]).raw_body == body


def test_http_2(start: StartCapture, queue: SqsSink) -> None:
    envoy = start(queue)
    for body, trailer in ((b"{}", None), (b"", None), (b"[1]", ("x-checksum", "7"))):
        assert post(envoy.address_of(), "/webhook", body, trailer) == 200
    assert [request.message["body"] for request in queue.requests] == [{}, "", [1]]


def test_what_is_too_large_is_refused_before_all_of_it_has_come(start: StartCapture, queue: SqsSink) -> None:
    envoy = start(queue, capture={"max_body_bytes": 1000})
    assert b"HTTP/1.1 413" in read_all(envoy, HEAD + b"content-length: 1001\r\n\r\n")
    assert b"HTTP/1.1 413" in read_all(envoy, HEAD + b"transfer-encoding: chunked\r\n\r\n400\r\n" + b"x" * 1024 + b"\r\n")
    assert queue.request_count == 0
    wait_for(lambda: envoy.metric("retrohook_captures_refused_too_large_total") == 2, "both to be counted")


def test_other_requests_are_none_of_its_business(start: StartCapture, queue: SqsSink) -> None:
    envoy = start(queue)
    assert send(envoy.address_of(), "GET", "/webhook").status == 405, "as the configuration says"
    assert send(envoy.address_of(), "POST", "/other", {}, "{}").status == 404
    assert queue.request_count == 0


def test_a_failure_that_passes_is_not_seen_by_the_sender(start: StartCapture, queue: SqsSink) -> None:
    envoy = start(queue, timeout_ms=8000)
    for name, fault in FAULTS.items():
        queue.answers = first(1, fault, acknowledge)
        queue.message_ids.clear()
        status = send(envoy.address_of(), "POST", "/webhook", {"webhook-id": "w-1"}, "{}").status
        expected = 503 if name in ("refused for good", "an error with a 200") else 200
        assert status == expected, name
        assert status == 503 or queue.message_ids["w-1"] >= 1, name


def test_while_nothing_can_be_stored_the_answer_is_503(start: StartCapture, queue: SqsSink) -> None:
    envoy = start(queue, timeout_ms=500)
    queue.answers = error(500)
    reply = send(envoy.address_of(), "POST", "/webhook", {"webhook-id": "w-1"}, "{}")
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    wait_for(lambda: "cannot be stored and are answered 503: InternalError" in envoy.log(), "a line in the log")
    queue.answers = acknowledge

    def is_stored() -> bool:
        # As a sender would, who may be answered 503 once more.
        return send(envoy.address_of(), "POST", "/webhook", {"webhook-id": "w-1"}, "{}").status == 200

    wait_for(is_stored, "the next one to be stored")
    assert queue.message_ids["w-1"] >= 1
    wait_for(lambda: "are stored again after" in envoy.log(), "a line in the log")
    wait_for(lambda: envoy.metric("retrohook_captures_stored_total") >= 1, "it to be counted")


def test_so_many_at_once_and_the_next_is_sent_away(start: StartCapture, queue: SqsSink) -> None:
    envoy = start(queue, max_captures=1, timeout_ms=60_000)
    queue.answers = slow(3600, acknowledge)
    with socket.create_connection(envoy.address_of(), timeout=PATIENCE) as first_sender:
        first_sender.sendall(HEAD + b"content-length: 2\r\n\r\n{}")
        wait_for(lambda: queue.request_count == 1, "the first to be under way")
        reply = send(envoy.address_of(), "POST", "/webhook", {}, "{}")
        assert (reply.status, "retry-after" in reply.headers) == (503, True)
        # The first one hangs up, and its place is free.
    queue.answers = acknowledge
    wait_for(lambda: envoy.metric("retrohook_captures_abandoned_total") == 1, "the first to be gone")
    assert send(envoy.address_of(), "POST", "/webhook", {}, "{}").status == 200
    wait_for(lambda: envoy.metric("retrohook_captures_refused_busy_total") == 1, "the second to be counted")


def test_without_the_setting_that_gives_it_bodies_the_log_says_so(start: StartCapture, queue: SqsSink) -> None:
    keep_bodies = lambda config: config.plugin.pop("allow_on_headers_stop_iteration")  # noqa: E731
    envoy = start(queue, keep_bodies, timeout_ms=500)
    assert send(envoy.address_of(), "POST", "/webhook", {}, "{}").status == 408
    wait_for(lambda: "allow_on_headers_stop_iteration: true" in envoy.log(), "a line in the log")
    assert queue.request_count == 0


def test_a_user_who_may_send_messages_and_nothing_else(start: StartCapture, tmp_path: Path) -> None:
    with Moto(tmp_path / "moto.log") as moto:
        for fifo, group in ((False, None), (True, "${request.headers.x-account}")):
            target = moto.create_queue(fifo=fifo)
            sender = moto.create_user(["sqs:SendMessage"])
            config = EnvoyConfig("capture", wasm_path())
            config.aim_queue(moto.address, target.url)
            config.configure_capture(message_group_id=group)
            config.configure(credentials=sender.settings())
            with Envoy(config.write(tmp_path / f"envoy-{fifo}.yaml")) as envoy:
                for _ in range(2):
                    headers = {"content-type": "application/json", "webhook-id": "w-1", "x-account": "a-7"}
                    reply = send(envoy.address_of(), "POST", "/webhook", headers, '{"a":1}')
                    assert reply.status == 200, envoy.log()
            messages = moto.receive(target, 1 if fifo else 2)
            assert len(messages) == (1 if fifo else 2), "a FIFO queue stores what is sent twice once"
            assert json.loads(messages[0]["Body"])["body"] == {"a": 1}
            assert messages[0]["MessageAttributes"]["sender_id"]["StringValue"] == "w-1"
            if fifo:
                assert messages[0]["Attributes"]["MessageGroupId"] == "a-7"
                assert messages[0]["Attributes"]["MessageDeduplicationId"] == json.loads(messages[0]["Body"])["id"]
