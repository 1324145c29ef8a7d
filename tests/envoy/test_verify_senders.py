"""Every known sender, and every form of signatures, through one real Envoy: what is good, and what is not in each way."""

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from rig import PROJECT
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.forms import FORMS, UNNAMED
from rig.gateway import ANY_CREDENTIALS
from rig.http import Reply, send
from rig.signers import SENDERS, Delivery, Headers, b64, mac
from rig.sns_answers import slow
from rig.sqs_sink import SqsRequest, SqsSink, acknowledge

BODY = b'{"type":"event","n":1.50}'


ALL = SENDERS | FORMS
SHIPPED = [name for name in ALL if name != "discord"]


def verify_of(name: str) -> dict[str, Any]:
    sender = ALL[name]
    return {"scheme": name, "secrets": [*map(sender.public, sender.secrets)], **sender.verify}


@pytest.fixture(scope="module")
def queue() -> Iterator[SqsSink]:
    with SqsSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def envoy(wasm: Path, queue: SqsSink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    config = EnvoyConfig("capture", wasm)
    config.aim_queue(queue.address, queue.url)
    (shipped,) = config.settings["capture"]
    unsigned = {**shipped, "matcher": "^/webhook/unsigned$", "challenges": ["event-grid", "microsoft-graph", "cloudevents", "okta"]}
    config.verify_each({name: verify_of(name) for name in SHIPPED})
    config.configure(capture=[*config.settings["capture"], unsigned], timeout_ms=5000)
    path = config.write(tmp_path_factory.mktemp("senders") / "envoy.yaml")
    with Envoy(path, ANY_CREDENTIALS.environment()) as running:
        yield running
        running.assert_no_trap()


def post(envoy: Envoy, path: str, headers: Headers, body: bytes | str, method: str = "POST") -> Reply:
    return send(envoy.address_of(), method, path, headers, body)


def deliver(envoy: Envoy, queue: SqsSink, name: str, secret: str, at: float = 0.0, harm: bool = False) -> tuple[Reply, SqsRequest | None]:
    """The answer, and what was stored."""
    sender = ALL[name]
    target = f"/webhook/{name}?a=b%20c"
    headers, body = sender.request(secret, Delivery(target, BODY, int(time.time() + at)))
    queue.requests.clear()
    body = body.replace(b"e", b"f", 1) if harm and sender.signs_body and b"e" in body else body + b" " if harm else body
    reply = post(envoy, target, headers, body)
    return reply, queue.requests[-1] if queue.requests else None


@pytest.mark.parametrize("name", SHIPPED)
def test_who_knows_a_secret_is_verified_and_nobody_else(envoy: Envoy, queue: SqsSink, name: str) -> None:
    sender = ALL[name]
    rejects = name == "xero"
    # Any of the secrets is good while one is rotated.
    for secret in sender.secrets:
        reply, stored = deliver(envoy, queue, name, secret)
        assert reply.status == 200 and stored, (reply, envoy.log()[-2000:])
        assert stored.message["verified"] is True, stored.message.get("verify_error")
        assert (stored.attributes["verified"], stored.attributes["source"]) == ("true", sender.verify.get("scheme", name))
        assert stored.message["method"] == "POST"
        if not sender.signs_body and name != "mailgun":
            assert secret not in stored.fields["MessageBody"] and b64(secret.encode()) not in stored.fields["MessageBody"]
    bad = [(sender.another, 0, False)] + [(sender.secrets[0], 0, True)] * sender.signs_body + [(sender.secrets[0], -sender.tolerance - 100, False)] * sender.timed
    for secret, at, harm in bad:
        reply, stored = deliver(envoy, queue, name, secret, at, harm)
        if rejects:
            assert (reply.status, stored) == (401, None)
        else:
            assert reply.status == 200 and stored and stored.message["verified"] is False, (secret, at, harm)
            # Some sign whole seconds, and some milliseconds.
            late = re.search("it was signed ([0-9]+) s ago", stored.message["verify_error"])
            assert (late is not None) == (at != 0), stored.message["verify_error"]
            assert late is None or -1 <= int(late[1]) + at <= 9


def challenge(envoy: Envoy, name: str, secret: str, body: bytes) -> Reply:
    headers, _ = ALL[name].request(secret, delivery := Delivery(f"/webhook/{name}", body))
    return post(envoy, delivery.target, headers, body)


def test_slack_and_zoom_and_twitch_are_answered_where_they_sign(envoy: Envoy, queue: SqsSink) -> None:
    secret = SENDERS["slack"].secrets[1]
    queue.requests.clear()
    asked = b'{"type":"url_verification","challenge":"<b>3eZbrw1a\\n"}'
    reply = challenge(envoy, "slack", secret, asked)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"<b>3eZbrw1a\n", "text/plain")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert challenge(envoy, "slack", "none", asked).status == 401

    plain = 'qgg8"vlvZRS'
    asked = json.dumps({"event": "endpoint.url_validation", "payload": {"plainToken": plain}}).encode()
    reply = challenge(envoy, "zoom", secret, asked)
    assert reply.headers["content-type"] == "application/json"
    assert json.loads(reply.body) == {"plainToken": plain, "encryptedToken": mac(secret, plain).hex()}, "by the secret that signed"
    assert challenge(envoy, "zoom", "none", asked).status == 401

    headers, body = SENDERS["twitch"].request(secret, Delivery("/webhook/twitch", b'{"challenge":"pogchamp"}'))
    headers["twitch-eventsub-message-type"] = "webhook_callback_verification"
    assert post(envoy, "/webhook/twitch", headers, body).body == b"pogchamp"
    assert not queue.requests
    # What is none is stored, and so is what has nothing to be answered with.
    for webhook in (b'{"type":"event_callback"}', b'{"type":"url_verification","challenge":{"a":1}}', b'{"type":"url_verification"}'):
        queue.requests.clear()
        assert challenge(envoy, "slack", secret, webhook).status == 200
        assert [request.message["verified"] for request in queue.requests] == [True], webhook


def test_challenges_that_nobody_signs(envoy: Envoy, queue: SqsSink) -> None:
    queue.requests.clear()
    get = lambda path, headers=None, method="GET": send(envoy.address_of(), method, path, headers)  # noqa: E731
    meta = "/webhook/meta?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    reply = get(meta + "s3cret%20token")
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"1158201444", "text/plain")
    silent = "/webhook/meta?hub.mode=subscribe&hub.verify_token=s3cret%20token"
    assert [get(path).status for path in (meta + "another", "/webhook/meta", silent)] == [405] * 3, "as if there were no capture"

    script = get("/webhook/dropbox?challenge=%3Cscript%3E")
    assert (script.body, script.headers["content-type"], script.headers["x-content-type-options"]) == (b"<script>", "text/plain", "nosniff")
    assert get("/webhook/trello", method="HEAD").status == 200
    asana = post(envoy, "/webhook/asana", {"x-hook-secret": "b537207f20cbfa02"}, "{}")
    assert (asana.status, asana.headers["x-hook-secret"], asana.body) == (200, "b537207f20cbfa02", b"")

    grid = [{"data": {"validationCode": 'a"b'}}]
    reply = post(envoy, "/webhook/unsigned", {"aeg-event-type": "SubscriptionValidation"}, json.dumps(grid))
    assert (json.loads(reply.body), reply.headers["content-type"]) == ({"validationResponse": 'a"b'}, "application/json")
    reply = post(envoy, "/webhook/unsigned?validationToken=Validation%3A+a", {}, "")
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"Validation: a", "text/plain")
    reply = get("/webhook/unsigned", {"webhook-request-origin": "eventemitter.example.com"}, "OPTIONS")
    assert (reply.status, reply.headers["webhook-allowed-origin"]) == (200, "eventemitter.example.com")
    reply = get("/webhook/unsigned", {"x-okta-verification-challenge": "v"})
    assert json.loads(reply.body) == {"verification": "v"}
    assert not queue.requests
    assert post(envoy, "/webhook/unsigned", {}, "[]").status == 200 and len(queue.requests) == 1


CRC = {"x": "crc_token", "linkedin": "challengeCode"}


def test_who_asks_for_the_hmac_of_a_nonce_is_answered_and_cannot_send_it(start_capture: Any, queue: SqsSink) -> None:
    """The configurations are those of the page, and each is asked by GET at the path of its webhooks."""
    page = (PROJECT / "docs" / "signatures.md").read_text()
    lists = re.findall(r'"challenges": (\[\{ +(?:X|LinkedIn)\n.*?^\}\])', page, re.DOTALL | re.MULTILINE)
    challenges = [json.loads(re.sub(r"\[\{ +\w+\n", "[{", text)) for text in lists]
    for (name, parameter), asked in zip(CRC.items(), challenges, strict=True):
        sender = UNNAMED[name]
        secret = sender.secrets[0]
        envoy = start_capture(queue, capture={"verify": {"secrets": [*sender.secrets], **sender.verify}, "challenges": asked})
        get = lambda value: send(envoy.address_of(), "GET", f"/webhook?{parameter}={value}&a=b")  # noqa: B023, E731
        nonce = "890e4665-4dfe_43ab+1="
        reply = get(quote(nonce))
        text = b64(mac(secret, nonce)) if name == "x" else mac(secret, nonce).hex()
        expected = {"response_token": f"sha256={text}"} if name == "x" else {"challengeCode": nonce, "challengeResponse": text}
        assert (reply.status, json.loads(reply.body), reply.headers["content-type"]) == (200, expected, "application/json")
        # What could be a webhook is no question, and what could be a question is no webhook.
        assert [get(quote(value)).status for value in ('{"a":1}', "hmacsha256={}", "a b", "", "a" * 257)] == [405] * 5
        queue.requests.clear()
        for body, is_good in [(nonce, False), ("true", False), ("{}", True), ('{"a":1}', True)]:
            headers, _ = sender.request(secret, Delivery("/webhook", body.encode()))
            assert send(envoy.address_of(), "POST", "/webhook", headers, body).status == 200
            assert queue.requests[-1].message["verified"] is is_good, (name, body)
    assert get("a").headers["x-content-type-options"] == "nosniff"


def test_a_sender_that_leaves_early_has_its_answer_before(envoy: Envoy, queue: SqsSink) -> None:

    queue.answers = slow(3600, acknowledge)
    try:
        for name, patience in (("slack", 3.0), ("sentry", 1.0)):
            began = time.monotonic()
            reply, _ = deliver(envoy, queue, name, ALL[name].secrets[0])
            assert (reply.status, time.monotonic() - began < patience) == (503, True), name
    finally:
        queue.answers = acknowledge


def test_authorization_is_kept_only_where_the_operator_asks(start_capture: Any, queue: SqsSink) -> None:
    queue.requests.clear()
    envoy = start_capture(queue, capture={"keep_headers": ["Authorization"]})
    value = "Basic " + base64.b64encode(b"user:password").decode()
    assert send(envoy.address_of(), "POST", "/webhook", {"authorization": value, "cookie": "a=b"}, "{}").status == 200
    headers = queue.requests[-1].message["headers"]
    assert headers["authorization"] == value and "cookie" not in headers
