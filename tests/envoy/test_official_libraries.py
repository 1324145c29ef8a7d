"""What the providers' own libraries sign is verified, and the senders of rig/signers.py sign as they do."""

import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from rig.envoy import Envoy
from rig.http import send
from rig.signers import SENDERS, Delivery
from rig.sqs_sink import SqsSink
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook

BODY = '{"type":"event_callback","text":"é"}'


def slack(secret: str, delivery: Delivery) -> dict[str, str]:
    signature = SignatureVerifier(secret).generate_signature(timestamp=str(delivery.at), body=delivery.body)
    return {"x-slack-request-timestamp": str(delivery.at), "x-slack-signature": str(signature)}


def standard_webhooks(secret: str, delivery: Delivery) -> dict[str, str]:
    signature = Webhook(secret).sign(delivery.id, datetime.fromtimestamp(delivery.at, UTC), delivery.body.decode())
    return {"webhook-id": delivery.id, "webhook-timestamp": str(delivery.at), "webhook-signature": signature}


SIGN: dict[str, Any] = {"slack": slack, "standard-webhooks": standard_webhooks}


@pytest.mark.parametrize("name", SIGN)
def test_what_the_official_library_signs_is_verified(
    start_capture: Callable[..., Envoy], queue: SqsSink, name: str
) -> None:
    secret, another = ("whsec_" + base64.b64encode(each * 24).decode() for each in (b"1", b"2"))
    envoy = start_capture(queue, capture={"verify": {"scheme": name, "secrets": [secret]}})
    delivery = Delivery("/webhook", BODY.encode())

    def verified(headers: dict[str, str]) -> bool:
        reply = send(envoy.address_of(), "POST", delivery.target, {"content-type": "application/json", **headers}, delivery.body)
        assert reply.status == 200
        return queue.requests.pop().message["verified"]

    headers = SIGN[name](secret, delivery)
    assert verified(headers) and not verified(SIGN[name](another, delivery))
    late = Delivery("/webhook", BODY.encode(), at=int(time.time()) - 400)
    assert not verified(SIGN[name](secret, late))
    # A list of several has the official one among them.
    own = SENDERS[name].sign(secret, delivery)
    for header, value in headers.items():
        assert value in own[header].split(" "), header
