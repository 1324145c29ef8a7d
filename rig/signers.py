"""Senders of webhooks, each of which signs as its provider's documentation says. Knows nothing of the filter's own code."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HOST = "https://hooks.example.com"
FORM = "application/x-www-form-urlencoded"

# Among the headers of a signed webhook: the target, where a signature stands there.
TARGET = ":target"


@dataclass(frozen=True)
class Delivery:
    """The request to be signed: to `HOST` and `target`, at `at` seconds since 1970."""

    target: str
    body: bytes
    at: int = field(default_factory=lambda: int(time.time()))
    method: str = "POST"
    id: str = "delivery-1"
    content_type: str = "application/json"

    @property
    def url(self) -> str:
        return HOST + self.target

    @property
    def iso(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.at))


Headers = dict[str, str]
Sign = Callable[[str, Delivery], Headers]


@dataclass(frozen=True)
class Sender:
    """One that keeps to a scheme; `verify` is what the gateway is told beside scheme and secrets."""

    sign: Sign
    timed: bool = False
    tolerance: int = 300
    """How many seconds from now the time may be, where one is signed."""
    verify: dict[str, object] = field(default_factory=dict)
    secrets: tuple[str, str] = ("the first secret", "the second secret")
    another: str = "another secret"
    public: Callable[[str], str] = lambda secret: secret
    body: Callable[[Delivery], bytes] = lambda delivery: delivery.body
    content_type: str = "application/json"
    signs_body: bool = True
    separator: str = ""
    """What stands between several signatures in one header, where there may be several."""
    delivery_id: str = ""
    """The header that names a delivery, `signed` where the signature covers its id; empty where retries have none in common."""

    def request(self, secret: str, delivery: Delivery) -> tuple[Headers, bytes]:
        delivery = replace(delivery, content_type=self.content_type)
        delivery = replace(delivery, body=self.body(delivery))
        return {"content-type": self.content_type, **self.sign(secret, delivery)}, delivery.body


def mac(secret: str | bytes, text: str | bytes, algorithm: str = "sha256") -> bytes:
    as_bytes = lambda each: each.encode() if isinstance(each, str) else each  # noqa: E731
    return hmac.new(as_bytes(secret), as_bytes(text), algorithm).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def of_body(header: str, prefix: str = "", algorithm: str = "sha256", encode: Callable[[bytes], str] = bytes.hex) -> Sender:
    return Sender(lambda secret, delivery: {header: prefix + encode(mac(secret, delivery.body, algorithm))})


def token(header: str) -> Sender:
    return Sender(lambda secret, delivery: {header: secret}, signs_body=False)


def _gitlab() -> Sender:
    return Sender(lambda secret, delivery: {"x-gitlab-token": secret, "x-gitlab-event": "Push Hook"}, signs_body=False)


def basic() -> Sender:
    sign: Sign = lambda secret, delivery: {"authorization": "Basic " + b64(secret.encode())}  # noqa: E731
    return Sender(sign, secrets=("user:old", "user:new"), another="user:none", signs_body=False)


def stripe_like(header: str, time_key: str, key: str, between: str, separator: str) -> Sender:
    def sign(secret: str, delivery: Delivery) -> Headers:
        signature = mac(secret, f"{delivery.at}{between}".encode() + delivery.body).hex()
        other = "0" * 64
        return {header: f"{time_key}={delivery.at}{separator}{key}={other}{separator}{key}={signature}"}

    return Sender(sign, timed=True, separator=separator)


def slack_like(header: str, time_header: str) -> Sender:
    def sign(secret: str, delivery: Delivery) -> Headers:
        signature = mac(secret, f"v0:{delivery.at}:".encode() + delivery.body).hex()
        return {header: f"v0={signature}", time_header: str(delivery.at)}

    return Sender(sign, timed=True)


def standard_webhooks(prefix: str, version: str = "") -> Sender:
    def sign(secret: str, delivery: Delivery) -> Headers:
        key = base64.b64decode(secret.removeprefix(version).removeprefix("whsec_"))
        signature = b64(mac(key, f"{delivery.id}.{delivery.at}.".encode() + delivery.body))
        signatures = f"v1,{b64(bytes(32))} v1,{signature}"
        return {f"{prefix}-id": delivery.id, f"{prefix}-timestamp": str(delivery.at), f"{prefix}-signature": signatures}

    secrets, another = (version + "whsec_" + b64(b"1" * 24), b64(b"2" * 32)), b64(b"3" * 24)
    return Sender(sign, timed=True, secrets=secrets, another=another, separator=" ", delivery_id="signed")


def ed25519_key(secret: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(secret.encode()).digest())


def public_key(secret: str) -> bytes:
    return ed25519_key(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def standard_webhooks_v1a() -> Sender:
    def sign(secret: str, delivery: Delivery) -> Headers:
        signature = ed25519_key(secret).sign(f"{delivery.id}.{delivery.at}.".encode() + delivery.body)
        signatures = f"v1,{b64(bytes(32))} v1a,{b64(signature)}"
        return {"webhook-id": delivery.id, "webhook-timestamp": str(delivery.at), "webhook-signature": signatures}

    public: Callable[[str], str] = lambda secret: "whpk_" + b64(public_key(secret))  # noqa: E731
    return Sender(sign, timed=True, public=public, separator=" ", delivery_id="signed")


def discord() -> Sender:
    def sign(secret: str, delivery: Delivery) -> Headers:
        signature = ed25519_key(secret).sign(str(delivery.at).encode() + delivery.body).hex()
        return {"x-signature-ed25519": signature, "x-signature-timestamp": str(delivery.at)}

    return Sender(sign, timed=True, public=lambda secret: public_key(secret).hex())


def _twilio(secret: str, delivery: Delivery) -> Headers:
    fields = sorted(set(parse_qsl(delivery.body.decode(), keep_blank_values=True)))
    text = delivery.url + "".join(name + value for name, value in fields)
    return {"x-twilio-signature": b64(mac(secret, text, "sha1"))}


def _square(secret: str, delivery: Delivery) -> Headers:
    return {"x-square-hmacsha256-signature": b64(mac(secret, delivery.url.encode() + delivery.body))}


def _trello(secret: str, delivery: Delivery) -> Headers:
    return {"x-trello-webhook": b64(mac(secret, delivery.body + delivery.url.encode(), "sha1"))}


def _hubspot(secret: str, delivery: Delivery) -> Headers:
    millis = f"{delivery.at}123"
    text = f"{delivery.method}{delivery.url}".encode() + delivery.body + millis.encode()
    return {"x-hubspot-signature-v3": b64(mac(secret, text)), "x-hubspot-request-timestamp": millis}


def _zendesk(secret: str, delivery: Delivery) -> Headers:
    signature = b64(mac(secret, delivery.iso.encode() + delivery.body))
    return {"x-zendesk-webhook-signature": signature, "x-zendesk-webhook-signature-timestamp": delivery.iso}


def _box(secret: str, delivery: Delivery) -> Headers:
    signature = b64(mac(secret, delivery.body + delivery.iso.encode()))
    other = b64(bytes(32))
    return {"box-signature-primary": other, "box-signature-secondary": signature, "box-delivery-timestamp": delivery.iso}


def _twitch(secret: str, delivery: Delivery) -> Headers:
    at = delivery.iso.replace("Z", ".123456789Z")
    signature = mac(secret, f"{delivery.id}{at}".encode() + delivery.body).hex()
    names = ("id", delivery.id), ("timestamp", at), ("signature", f"sha256={signature}"), ("type", "notification")
    return {f"twitch-eventsub-message-{name}": value for name, value in names}


def _mailgun_body(secret: str) -> Callable[[Delivery], bytes]:
    def body(delivery: Delivery) -> bytes:
        signature = {"timestamp": str(delivery.at), "token": "t" * 50}
        signature["signature"] = mac(secret, signature["timestamp"] + signature["token"]).hex()
        return json.dumps({"signature": signature, "event-data": {}}).encode()

    return body


class _Mailgun(Sender):
    """Its signature stands in the body, and covers a part of it alone."""

    def request(self, secret: str, delivery: Delivery) -> tuple[Headers, bytes]:
        return {"content-type": "application/json"}, _mailgun_body(secret)(delivery)


def _linear_body(delivery: Delivery) -> bytes:
    return json.dumps({"webhookTimestamp": delivery.at * 1000, "data": delivery.body.decode()}).encode()


SENDERS: dict[str, Sender] = {
    "standard-webhooks": standard_webhooks("webhook"),
    "stripe": replace(stripe_like("stripe-signature", "t", "v1", ".", ","), delivery_id="signed"),
    "github": replace(of_body("x-hub-signature-256", "sha256="), delivery_id="x-github-delivery"),
    "gitlab": replace(_gitlab(), delivery_id="idempotency-key"),
    "shopify": replace(of_body("x-shopify-hmac-sha256", encode=b64), delivery_id="x-shopify-webhook-id"),
    "twilio": Sender(
        _twilio,
        verify={"url": HOST},
        content_type=FORM,
        body=lambda _: b"To=%2B1&Body=a+b&Body=&A=%C3%A9",
        delivery_id="i-twilio-idempotency-token",
    ),
    "slack": slack_like("x-slack-signature", "x-slack-request-timestamp"),
    "zoom": slack_like("x-zm-signature", "x-zm-request-timestamp"),
    "meta": replace(of_body("x-hub-signature-256", "sha256="), verify={"verify_token": "s3cret token"}),
    "paddle": stripe_like("paddle-signature", "ts", "h1", ":", ";"),
    "square": Sender(_square, verify={"url": HOST}),
    "hubspot": Sender(_hubspot, timed=True, verify={"url": HOST + "/"}),
    "pagerduty": Sender(
        lambda secret, it: {"x-pagerduty-signature": f"v1={'0' * 64},v1={mac(secret, it.body).hex()}"}, separator=","
    ),
    "discord": discord(),
    "asana": of_body("x-hook-signature"),
    "chargebee": basic(),
    "postmark": basic(),
    "linear": replace(of_body("linear-signature"), timed=True, body=_linear_body, delivery_id="linear-delivery"),
    "typeform": of_body("typeform-signature", "sha256=", encode=b64),
    "sentry": of_body("sentry-hook-signature"),
    "intercom": of_body("x-hub-signature", "sha1=", "sha1"),
    "dropbox": of_body("x-dropbox-signature"),
    "trello": Sender(_trello, verify={"url": HOST}),
    "mailgun": _Mailgun(lambda secret, delivery: {}, timed=True, signs_body=False),
    "calendly": stripe_like("calendly-webhook-signature", "t", "v1", ".", ","),
    "zendesk": Sender(_zendesk, timed=True, delivery_id="x-zendesk-webhook-invocation-id"),
    "woocommerce": replace(of_body("x-wc-webhook-signature", encode=b64), delivery_id="x-wc-webhook-delivery-id"),
    "docusign": of_body("x-docusign-signature-1", encode=b64),
    "box": Sender(_box, timed=True, tolerance=600, delivery_id="box-delivery-id"),
    "launchdarkly": of_body("x-ld-signature"),
    "circleci": replace(of_body("circleci-signature", "v1="), separator=","),
    "bitbucket": replace(of_body("x-hub-signature", "sha256="), delivery_id="x-request-uuid"),
    "jira": replace(of_body("x-hub-signature", "sha256="), delivery_id="x-atlassian-webhook-identifier"),
    "gitea": replace(of_body("x-gitea-signature"), delivery_id="x-gitea-delivery"),
    "twitch": Sender(_twitch, timed=True, tolerance=600, delivery_id="signed"),
    "xero": of_body("x-xero-signature", encode=b64),
    "quickbooks": of_body("intuit-signature", encode=b64),
    "paystack": of_body("x-paystack-signature", algorithm="sha512"),
    "razorpay": replace(of_body("x-razorpay-signature"), delivery_id="x-razorpay-event-id"),
    "vercel": of_body("x-vercel-signature", algorithm="sha1"),
    "line": of_body("x-line-signature", encode=b64),
    "telegram": token("x-telegram-bot-api-secret-token"),
}
