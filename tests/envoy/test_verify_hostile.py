"""What somebody sends who knows no secret, or one that is not meant for here, through real Envoy."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import ANY_CREDENTIALS
from rig.http import Reply, exchange_raw, send
from rig.signers import HOST, SENDERS, Delivery, mac
from rig.sqs_sink import SqsSink

SECRET = SENDERS["slack"].secrets[0]
VERIFY: dict[str, dict[str, Any]] = {
    name: {"scheme": name, "secrets": SECRET, **SENDERS[name].verify}
    for name in ("slack", "zoom", "dropbox", "square", "twilio", "mailgun", "github")
} | {
    "other-github": {"scheme": "github", "secrets": "another secret"},
    "square-of-any-host": {"scheme": "square", "secrets": SECRET},
    "token": {"scheme": "token", "query": "token", "secrets": SECRET},
}


@pytest.fixture(scope="module")
def queue() -> Iterator[SqsSink]:
    with SqsSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def envoy(wasm: Path, queue: SqsSink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    config = EnvoyConfig("capture", wasm)
    config.aim_queue(queue.address, queue.url)
    config.verify_each(VERIFY)
    with Envoy(config.write(tmp_path_factory.mktemp("hostile") / "envoy.yaml"), ANY_CREDENTIALS.environment()) as running:
        yield running
        running.assert_no_trap()


def stored(envoy: Envoy, queue: SqsSink, target: str, headers: dict[str, str], body: bytes | str = b"{}") -> dict[str, Any]:
    queue.requests.clear()
    body = body.encode() if isinstance(body, str) else body
    head = {"host": "gateway"} | headers | {"content-length": str(len(body))}
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    reply = exchange_raw(envoy.address_of(), "\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    assert reply is not None and reply.status == 200, (reply, target)
    (request,) = queue.requests
    return request.message


def ask(envoy: Envoy, name: str, body: bytes, at: float = 0.0, **changes: str) -> Reply:
    headers, body = SENDERS[name].request(SECRET, Delivery(f"/webhook/{name}", body, int(time.time() + at)))
    return send(envoy.address_of(), "POST", f"/webhook/{name}", headers | changes, body)


def test_zoom_s_question_is_no_way_to_have_anything_signed(envoy: Envoy, queue: SqsSink) -> None:
    # What would be the signature of a webhook of one's own.
    wanted = f'v0:{int(time.time())}:{{"event":"meeting.ended"}}'
    asked = json.dumps({"event": "endpoint.url_validation", "payload": {"plainToken": wanted}}).encode()
    signature = mac(SECRET, wanted).hex()
    queue.requests.clear()
    replies = [
        ask(envoy, "zoom", asked, **{"x-zm-signature": "v0=" + "0" * 64}),
        ask(envoy, "zoom", asked, **{"x-zm-signature": ""}),
        ask(envoy, "zoom", asked, **{"x-zm-request-timestamp": str(int(time.time()) - 1)}),
        ask(envoy, "zoom", asked, at=-400),
        ask(envoy, "zoom", asked, at=400),
        send(envoy.address_of(), "POST", "/webhook/zoom", {}, asked),
        send(envoy.address_of(), "POST", "/webhook/slack", {}, asked),
    ]
    assert [reply.status for reply in replies[:-1]] == [401] * 6
    assert all(signature.encode() not in reply.body and signature not in str(reply.headers) for reply in replies)
    assert len(queue.requests) == 1, "that to Slack's path, which is no challenge there"
    # Readers would not agree on which of two tokens counts: a webhook, and no question.
    queue.requests.clear()
    twice = asked.replace(b'{"plainToken"', b'{"plainToken":"a","plainToken"')
    assert ask(envoy, "zoom", twice).body == b"" and len(queue.requests) == 1


def test_an_answer_repeats_nothing_that_a_browser_or_a_header_would_take_for_its_own(envoy: Envoy, queue: SqsSink) -> None:
    queue.requests.clear()
    for asked, repeated in [
        ("%3Cscript%3E", b"<script>"),
        ("a%0D%0Aset-cookie:%20b", b"a\r\nset-cookie: b"),
        ("%FF%00", "\ufffd\0".encode()),
        ("a" * 8000, b"a" * 8000),
        ("%3Chtml%3E&challenge=b", b"<html>"),
    ]:
        reply = send(envoy.address_of(), "GET", f"/webhook/dropbox?challenge={asked}")
        assert (reply.status, reply.body) == (200, repeated)
        assert (reply.headers["content-type"], reply.headers["x-content-type-options"]) == ("text/plain", "nosniff")
        assert "set-cookie" not in reply.headers
    asked = json.dumps({"type": "url_verification", "challenge": "<script>\r\nset-cookie: a=b\r\n\r\n"}).encode()
    reply = ask(envoy, "slack", asked)
    assert (reply.status, reply.headers["content-type"], "set-cookie" in reply.headers) == (200, "text/plain", False)
    large = json.dumps({"type": "url_verification", "challenge": "a" * 16_384}).encode()
    assert not queue.requests and ask(envoy, "slack", large).body == b"" and len(queue.requests) == 1


def test_a_signature_is_for_one_url_and_one_secret(envoy: Envoy, queue: SqsSink) -> None:
    def verified(target: str, headers: dict[str, str], body: bytes) -> bool:
        return stored(envoy, queue, target, headers, body)["verified"]

    target = "/webhook/square?a=b%20c"
    headers, body = SENDERS["square"].request(SECRET, Delivery(target, b'{"a":1}'))
    assert verified(target, headers, body)
    # The URL that counts has Envoy's spelling of the path, which `matcher` sees, whatever the client says.
    for same in ("//webhook//square?a=b%20c", "/x/../webhook/square?a=b%20c", "/webhook/%73quare?a=b%20c"):
        assert verified(same, headers, body), same
    lies = {
        "host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "http",
        "x-envoy-original-path": "/evil", "forwarded": "host=evil.example",
    }  # fmt: skip
    assert verified(target, headers | lies, body), "`url` is the operator's"
    for other in ("/webhook/square?a=b+c", "/webhook/square?a=b%20c&", "/webhook/square", "/webhook/square-of-any-host?a=b%20c"):
        assert not verified(other, headers, body), other
    # Without `url` it is the host that the client names, and no header beside it.
    own = "/webhook/square-of-any-host"
    headers, body = SENDERS["square"].request(SECRET, Delivery(own, b'{"a":1}'))
    host = HOST.removeprefix("https://")
    assert verified(own, headers | {"host": host}, body)
    assert not verified(own, headers | {"host": "evil.example", "x-forwarded-host": host}, body)

    headers, body = SENDERS["github"].request(SECRET, Delivery("/webhook/github", b'{"a":1}'))
    assert verified("/webhook/github", headers, body) and not verified("/webhook/other-github", headers, body)


def test_the_bytes_that_came_are_those_that_count(envoy: Envoy, queue: SqsSink) -> None:
    headers, body = SENDERS["github"].request(SECRET, Delivery("/webhook/github", b'{"a":"\xc3\xa9"}'))
    odd = headers | {"content-type": "application/json; charset=utf-16", "content-encoding": "gzip"}
    assert stored(envoy, queue, "/webhook/github", odd, body)["verified"], "nothing is decoded"
    for changed in (b"\xef\xbb\xbf" + body, body + b"\n", body + b"\0", b"", '{"a":"é"}'.encode("utf-16")):
        assert not stored(envoy, queue, "/webhook/github", headers, changed)["verified"], changed
    headers, body = SENDERS["twilio"].request(SECRET, Delivery("/webhook/twilio", b""))
    same = b"Body=&To=%2b1&A=%c3%a9&Body=a%20b"
    assert stored(envoy, queue, "/webhook/twilio", headers, same)["verified"], "another spelling of the same fields"
    for changed in (body + b"&B=", body.replace(b"%C3%A9", b"%E9"), body.replace(b"%C3%A9", b"\xe9"), b""):
        assert not stored(envoy, queue, "/webhook/twilio", headers, changed)["verified"], changed


def test_what_mailgun_s_routes_send_is_stored_unverified(envoy: Envoy, queue: SqsSink) -> None:
    now, token = str(int(time.time())), "t" * 50
    fields = {"timestamp": now, "token": token, "signature": mac(SECRET, now + token).hex(), "subject": "hello"}
    form = "&".join(f"{name}={value}" for name, value in fields.items())
    parts = [f'--b\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    for content_type, body in [
        ("application/x-www-form-urlencoded", form),
        ("multipart/form-data; boundary=b", "".join(parts) + "--b--\r\n"),
    ]:
        message = stored(envoy, queue, "/webhook/mailgun", {"content-type": content_type}, body)
        assert (message["verified"], message["body"]) == (False, body)
        assert message["verify_error"] == "there is no `/signature/signature` in the body"


def test_a_token_in_the_url_is_nowhere_in_the_message_however_its_name_is_written(envoy: Envoy, queue: SqsSink) -> None:
    secret = "the%20first+secret"
    for query in (f"token={secret}", f"a=b&t%6fken={secret}", f"token={secret}&token=x", f"token={secret}#", f"a=b;token={secret}"):
        request = f"POST /webhook/token?{query} HTTP/1.1\r\nhost: gateway\r\nreferer: https://a.example/?{query}\r\ncontent-length: 2\r\n\r\n{{}}"
        queue.requests.clear()
        reply = exchange_raw(envoy.address_of(), request.encode())
        assert reply is not None
        if reply.status == 400:
            assert "#" in query and not queue.requests
            continue
        (stored_request,) = queue.requests
        assert stored_request.message["verified"] is (";" not in query and "#" not in query), query
        assert "first" not in stored_request.fields["MessageBody"], query
