"""A captured webhook is read back as it was received."""

import base64
import hashlib
import hmac
import json
from decimal import Decimal
from typing import Any

import pytest
from rig.webhooks import captured
from webhook import webhook_of

ODD_JSON = [
    '{"b": 1.10, "a": 1e2 ,"b":{"x":[ ]}}',
    '[1,\t"\\u00e9\\ud83d\\ude00 }, \\" é😀", null]',
    ' {"padded":true}\n',
    "12345678901234567890.50",
    "true",
]


@pytest.mark.parametrize("body", ODD_JSON)
def test_json_is_there_as_a_value_and_byte_for_byte(body: str) -> None:
    webhook = webhook_of(captured("evt_1", body))
    assert webhook.raw_body == body.encode()
    assert webhook.body == json.loads(body)


def test_a_number_that_python_makes_no_int_of_is_a_number_all_the_same() -> None:
    digits = "-" + "7" * 5000
    webhook = webhook_of(captured("evt_1", f'{{"n":{digits}, "m":{digits[:4299]}}}'))
    assert webhook.body["n"] == Decimal(digits) and isinstance(webhook.body["m"], int)
    assert webhook.raw_body == f'{{"n":{digits}, "m":{digits[:4299]}}}'.encode()


@pytest.mark.parametrize("text", ["", "a=1&b=2", 'quotes " and \\', "é😀\n\t"])
def test_text_is_text(text: str) -> None:
    webhook = webhook_of(captured("evt_1", json.dumps(text)))
    assert (webhook.body, webhook.raw_body) == (text, text.encode())


def test_bytes_are_bytes() -> None:
    received = bytes(range(256))
    webhook = webhook_of(captured("evt_1", json.dumps(base64.b64encode(received).decode()), encoding="base64"))
    assert webhook.body == webhook.raw_body == received


def test_everything_else_is_there() -> None:
    webhook = webhook_of(captured("evt_1", verified=False, verify_error="no signature fits"))
    assert webhook.id == "evt_1"
    assert webhook.headers["x-forwarded-for"] == ["203.0.113.7", "198.51.100.2"]
    assert (webhook.path, webhook.query, webhook.received_at) == ("/webhook", "a=1", "2026-01-01T12:00:00.012Z")
    assert (webhook.verified, webhook.verify_error) == (False, "no signature fits")
    assert webhook_of(captured("evt_1")).verified is None
    assert webhook_of(captured("evt_1", verified=True)).verified is True


def test_a_message_that_says_more_of_the_id_is_read_and_one_that_does_not_as_well() -> None:
    body = '{"a":1}'
    digest = hashlib.sha256(body.encode()).hexdigest()
    webhook = webhook_of(captured("orders:7:ab", body, sender_id="7", body_sha256=digest, verified=True))
    assert (webhook.id, webhook.sender_id, webhook.body_sha256) == ("orders:7:ab", "7", digest)
    assert hashlib.sha256(webhook.raw_body).hexdigest() == webhook.body_sha256
    older = webhook_of(captured("evt_1"))
    assert (older.sender_id, older.body_sha256) == (None, None)


@pytest.mark.parametrize("verified", ["true", "false", 1, 0, None, [], {}])
def test_only_true_and_false_say_whether_it_was_verified(verified: Any) -> None:
    with pytest.raises(ValueError):
        webhook_of(captured("evt_1", verified=verified))


@pytest.mark.parametrize("webhook_id", ["", "x" * 501, "a\nb", "a\x1b[2J", 5, None, ["x"]])
def test_an_id_is_a_short_text_that_can_be_printed(webhook_id: Any) -> None:
    with pytest.raises(ValueError):
        webhook_of(captured(webhook_id))


def test_a_signature_can_be_checked_again_with_the_right_secret() -> None:
    body = '{ "amount": 10.00 }'
    signature = "sha256=" + hmac.new(b"secret", body.encode(), hashlib.sha256).hexdigest()
    webhook = webhook_of(captured("evt_1", body, headers={"x-hub-signature-256": signature}, verified=False))
    again = "sha256=" + hmac.new(b"secret", webhook.raw_body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(webhook.headers["x-hub-signature-256"], again)


# fmt: off
@pytest.mark.parametrize(
    "text",
    [
        "", "text", "[]", "{}", "{", '{"id":"x"', '{"id":"x",}', '{"id":"x" "body":1}', '{"id":"x","body":1}', "null", "{1:2}",
        captured("evt_1") + "{}", captured("evt_1") + "x", captured("evt_1")[:-1] + ",}", captured("evt_1")[:-1],
        captured("evt_1").replace(',"body"', ' "body"'), captured("evt_1").replace(":", "", 1), "[" * 100_000,
        captured("evt_1", "[" * 100_000 + "]" * 100_000),
    ],
)
# fmt: on
def test_what_is_no_captured_webhook_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        webhook_of(text)


@pytest.mark.parametrize("changes", [{"encoding": "rot13"}, {"encoding": "base64"}])
def test_a_body_that_cannot_be_decoded_is_a_value_error(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        webhook_of(captured("evt_1", '"!"', **changes))
