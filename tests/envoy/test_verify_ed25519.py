"""Signatures of Ed25519, through real Envoy."""

import json
import time
from collections.abc import Iterator

import pytest
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.forms import ED25519
from rig.gateway import ANY_CREDENTIALS, wasm_path
from rig.http import Reply, send
from rig.signers import SENDERS, Delivery, standard_webhooks_v1a
from rig.sqs_sink import SqsSink

BODY = b'{"type":2,"n":1.50}'
SECRETS = ("the first secret", "the second secret")
ALL = {"discord": SENDERS["discord"], "standard-webhooks": standard_webhooks_v1a(), "ed25519": ED25519}


@pytest.fixture(scope="module")
def queue() -> Iterator[SqsSink]:
    with SqsSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def envoy(queue: SqsSink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    config = EnvoyConfig("capture", wasm_path())
    config.aim_queue(queue.address, queue.url)
    config.verify_each(
        {name: {"scheme": name, "secrets": [*map(sender.public, SECRETS)], **sender.verify} for name, sender in ALL.items()}
    )
    path = config.write(tmp_path_factory.mktemp("ed25519") / "envoy.yaml")
    with Envoy(path, ANY_CREDENTIALS.environment()) as running:
        yield running
        running.assert_no_trap()


def deliver(envoy: Envoy, name: str, secret: str, at: int = 0, body: bytes = BODY, sent: bytes | None = None) -> Reply:
    headers, signed = ALL[name].request(secret, delivery := Delivery(f"/webhook/{name}", body, int(time.time()) + at))
    return send(envoy.address_of(), "POST", delivery.target, headers, signed if sent is None else sent)


@pytest.mark.parametrize("name", ALL)
def test_who_has_the_key_of_a_public_one_is_verified_and_nobody_else(envoy: Envoy, queue: SqsSink, name: str) -> None:
    for secret in SECRETS:
        queue.requests.clear()
        assert deliver(envoy, name, secret).status == 200, envoy.log()[-2000:]
        assert [request.message["verified"] for request in queue.requests] == [True]
    for secret, at, sent in (("another", 0, None), (SECRETS[0], 0, BODY + b" "), (SECRETS[0], -400, None)):
        queue.requests.clear()
        status = deliver(envoy, name, secret, at, sent=sent).status
        stored = [request.message["verified"] for request in queue.requests]
        assert (status, stored) == ((401, []) if name == "discord" else (200, [False])), (secret, at)


def test_discord_s_ping_is_answered_and_a_forged_one_refused(envoy: Envoy, queue: SqsSink) -> None:
    queue.requests.clear()
    ping = b'{"type":1,"token":"t"}'
    reply = deliver(envoy, "discord", SECRETS[1], body=ping)
    assert (reply.status, json.loads(reply.body)) == (200, {"type": 1})
    assert deliver(envoy, "discord", "another", body=ping).status == 401
    assert not queue.requests
