"""Senders that no scheme is named after: each form of signatures, and providers as docs/signatures.md writes them."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from .signers import (
    FORM,
    HOST,
    SENDERS,
    TARGET,
    Delivery,
    Headers,
    Sender,
    b64,
    ed25519_key,
    mac,
    of_body,
    public_key,
    standard_webhooks,
    stripe_like,
    token,
)


def _general(secret: str, delivery: Delivery) -> Headers:
    text = f"{delivery.method} {delivery.target[:14]}|{delivery.iso}|".encode() + delivery.body
    return {"x-signature": f"v1={b64(bytes(64))};v1={b64(mac(bytes.fromhex(secret), text, 'sha512'))}", "x-at": delivery.iso}


FORMS: dict[str, Sender] = {
    "general-hmac": Sender(
        _general,
        timed=True,
        secrets=("00ff" * 10, "11ee" * 10),
        another="22dd" * 10,
        separator=";",
        verify={
            "scheme": "hmac", "header": "x-signature", "separator": ";", "key": "v1", "encoding": "base64",
            "algorithm": "sha512", "key_encoding": "hex", "signed": "${request.method} /webhook/gener|${timestamp}|${request.body}",
            "timestamp": {"header": "x-at", "unit": "rfc3339"},
        },
    ),
    "general-list": replace(
        stripe_like("x-list", "t", "v1", ".", ","),
        verify={
            "scheme": "hmac", "header": "x-list", "separator": ",", "key": "v1",
            "signed": "${timestamp}.${request.body}", "timestamp": {"key": "t"},
        },
    ),
    "general-token": Sender(
        lambda secret, delivery: {"x-token": f"Bearer {secret}"},
        verify={"scheme": "token", "header": "x-token", "prefix": "Bearer "},
        signs_body=False,
    ),
    "general-basic": replace(SENDERS["chargebee"], verify={"scheme": "basic"}),
}  # fmt: skip

ED25519 = Sender(
    lambda secret, delivery: {"x-sig": SENDERS["discord"].sign(secret, delivery)["x-signature-ed25519"], "x-at": str(delivery.at)},
    timed=True,
    public=lambda secret: public_key(secret).hex(),
    verify={"scheme": "ed25519", "header": "x-sig", "signed": "${timestamp}${request.body}", "timestamp": {"header": "x-at"}},
)


def _hmac(**keys: object) -> dict[str, object]:
    return {"scheme": "hmac", **keys}


def _with_key(decode: Callable[[str], bytes], header: str, prefix: str, encode: Callable[[bytes], str]) -> Callable[[str, Delivery], Headers]:
    return lambda secret, delivery: {header: prefix + encode(mac(decode(secret), delivery.body))}


def _persona(secret: str, delivery: Delivery) -> Headers:
    # While a secret is rotated: a whole list for each, with a space between them.
    own = mac(secret, f"{delivery.at}.".encode() + delivery.body).hex()
    return {"persona-signature": f"t={delivery.at},v1={own} t={delivery.at},v1={'0' * 64}"}


def _recurly(secret: str, delivery: Delivery) -> Headers:
    millis = f"{delivery.at}123"
    return {"recurly-signature": f"{millis},{'0' * 64},{mac(secret, millis.encode() + b'.' + delivery.body).hex()}"}


def _customer_io(secret: str, delivery: Delivery) -> Headers:
    signature = mac(secret, f"v0:{delivery.at}:".encode() + delivery.body).hex()
    return {"x-cio-signature": signature, "x-cio-timestamp": str(delivery.at)}


def _mandrill(secret: str, delivery: Delivery) -> Headers:
    return {"x-mandrill-signature": SENDERS["twilio"].sign(secret, delivery)["x-twilio-signature"]}


@dataclass(frozen=True)
class _InBody(Sender):
    """Its secret stands in the body."""

    of_secret: Callable[[str], object] = lambda secret: {"passcode": secret, "event_type": "PING"}

    def request(self, secret: str, delivery: Delivery) -> tuple[Headers, bytes]:
        return {"content-type": "application/json"}, json.dumps(self.of_secret(secret)).encode()


@dataclass(frozen=True)
class _InForm(Sender):
    """Its secret or signature stands in a field of a form."""

    fields: Callable[[str, Delivery], dict[str, str]] = lambda secret, delivery: {"token": secret}

    def request(self, secret: str, delivery: Delivery) -> tuple[Headers, bytes]:
        return {"content-type": FORM}, urlencode(self.fields(secret, delivery)).encode()


def _mailgun_route(secret: str, delivery: Delivery) -> dict[str, str]:
    signature = mac(secret, f"{delivery.at}{'t' * 50}").hex()
    return {"timestamp": str(delivery.at), "token": "t" * 50, "signature": signature, "subject": "hello"}


def _braintree(secret: str, delivery: Delivery) -> dict[str, str]:
    payload = base64.encodebytes(delivery.body).decode()
    signature = mac(bytes.fromhex(secret), payload, "sha1").hex()
    return {"bt_signature": f"another|{'0' * 40}&my_public_key|{signature}", "bt_payload": payload}


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


def _contentful(secret: str, delivery: Delivery) -> Headers:
    millis, names = f"{delivery.at}123", "x-contentful-signed-headers,x-contentful-timestamp"
    canonical = f"POST\n{delivery.target.split('?')[0]}\nx-contentful-signed-headers:{names};x-contentful-timestamp:{millis}\n"
    signature = mac(secret, canonical.encode() + delivery.body).hex()
    return {"x-contentful-signature": signature, "x-contentful-signed-headers": names, "x-contentful-timestamp": millis}


def _sanity(secret: str, delivery: Delivery) -> Headers:
    signature = base64.urlsafe_b64encode(mac(secret, f"{delivery.at}123.".encode() + delivery.body)).decode()
    return {"sanity-webhook-signature": f"t={delivery.at}123,v1={signature.rstrip('=')}"}


def _telnyx(secret: str, delivery: Delivery) -> Headers:
    signature = ed25519_key(secret).sign(f"{delivery.at}|".encode() + delivery.body)
    return {"telnyx-signature-ed25519": b64(signature), "telnyx-timestamp": str(delivery.at)}


def _sinch(secret: str, delivery: Delivery) -> Headers:
    signature = b64(mac(secret, delivery.body + f".{delivery.id}.{delivery.at}".encode()))
    names = {"x-sinch-webhook-signature": signature, "x-sinch-webhook-signature-nonce": delivery.id}
    return {**names, "x-sinch-webhook-signature-timestamp": str(delivery.at)}


_TIMED = "${timestamp}.${request.body}"

# Of those that the page names; `verify` as it has it.
UNNAMED: dict[str, Sender] = {
    "lemon-squeezy": replace(of_body("x-signature"), verify=_hmac(header="x-signature")),
    "mollie": replace(of_body("x-mollie-signature", "sha256="), verify=_hmac(header="x-mollie-signature", prefix="sha256=")),
    "mux": replace(
        stripe_like("mux-signature", "t", "v1", ".", ","),
        verify=_hmac(header="mux-signature", separator=",", key="v1", timestamp={"key": "t"}, signed=_TIMED),
    ),
    "persona": Sender(
        _persona,
        timed=True,
        separator=" ",
        verify=_hmac(header="persona-signature", separator=",", key="v1", timestamp={"key": "t"}, signed=_TIMED),
    ),
    "buildkite": replace(
        stripe_like("x-buildkite-signature", "timestamp", "signature", ".", ","),
        verify=_hmac(header="x-buildkite-signature", separator=",", key="signature", timestamp={"key": "timestamp"}, signed=_TIMED),
    ),
    "recurly": Sender(
        _recurly,
        timed=True,
        separator=",",
        verify=_hmac(header="recurly-signature", separator=",", timestamp={"key": "", "unit": "ms"}, signed=_TIMED),
    ),
    "customer-io": Sender(
        _customer_io,
        timed=True,
        verify=_hmac(header="x-cio-signature", timestamp={"header": "x-cio-timestamp"}, signed="v0:${timestamp}:${request.body}"),
    ),
    "airtable": Sender(
        _with_key(base64.b64decode, "x-airtable-content-mac", "hmac-sha256=", bytes.hex),
        secrets=(b64(b"1" * 16), b64(b"2" * 16)),
        another=b64(b"3" * 16),
        verify=_hmac(header="x-airtable-content-mac", prefix="hmac-sha256=", key_encoding="base64"),
    ),
    "adyen-balance-platform": Sender(
        _with_key(bytes.fromhex, "hmacsignature", "", b64),
        secrets=("00ff" * 16, "11ee" * 16),
        another="22dd" * 16,
        verify=_hmac(header="hmacsignature", encoding="base64", key_encoding="hex"),
    ),
    "mandrill": Sender(
        _mandrill,
        content_type=FORM,
        body=lambda _: b"mandrill_events=%5B%7B%22event%22%3A%22send%22%7D%5D",
        verify=_hmac(header="x-mandrill-signature", algorithm="sha1", encoding="base64", signed="${request.url}${request.form}", url=HOST),
    ),
    "supabase": replace(standard_webhooks("webhook", "v1,"), verify={"scheme": "standard-webhooks"}),
    "x": replace(
        of_body("x-twitter-webhooks-signature", "sha256=", encode=b64),
        verify=_hmac(header="x-twitter-webhooks-signature", prefix="sha256=", encoding="base64"),
    ),
    "figma": _InBody(lambda secret, delivery: {}, signs_body=False, verify={"scheme": "token", "body": "/passcode"}),
    "google": replace(token("x-goog-channel-token"), verify={"scheme": "token", "header": "x-goog-channel-token"}),
    "microsoft-graph": _InBody(
        lambda secret, delivery: {},
        signs_body=False,
        verify={"scheme": "token", "body": "/value/0/clientState"},
        of_secret=lambda secret: {"value": [{"clientState": secret}], "n": 1},
    ),
    "linkedin": Sender(
        lambda secret, it: {"x-li-signature": mac(secret, b"hmacsha256=" + it.body).hex()},
        verify=_hmac(header="x-li-signature", signed="hmacsha256=${request.body}"),
    ),
    "pandadoc": Sender(
        lambda secret, it: {TARGET: f"{it.target}&signature={mac(secret, it.body).hex()}"},
        verify=_hmac(query="signature"),
    ),
    "contentful": Sender(
        _contentful,
        timed=True,
        verify=_hmac(
            header="x-contentful-signature",
            timestamp={"header": "x-contentful-timestamp", "unit": "ms"},
            signed="${request.method}\n${request.path}\nx-contentful-signed-headers:${request.headers.x-contentful-signed-headers};"
            "x-contentful-timestamp:${timestamp}\n${request.body}",
        ),
    ),
    "sanity": Sender(
        _sanity,
        timed=True,
        separator=",",
        verify=_hmac(
            header="sanity-webhook-signature", separator=",", key="v1", encoding="base64", timestamp={"key": "t", "unit": "ms"}, signed=_TIMED
        ),
    ),
    "teams": Sender(
        _with_key(base64.b64decode, "authorization", "HMAC ", b64),
        secrets=(b64(b"1" * 32), b64(b"2" * 32)),
        another=b64(b"3" * 32),
        verify=_hmac(header="authorization", prefix="HMAC ", encoding="base64", key_encoding="base64"),
    ),
    "telnyx": Sender(
        _telnyx,
        timed=True,
        public=lambda secret: b64(public_key(secret)),
        verify={
            "scheme": "ed25519", "header": "telnyx-signature-ed25519", "encoding": "base64", "key_encoding": "base64",
            "signed": "${timestamp}|${request.body}", "timestamp": {"header": "telnyx-timestamp"},
        },
    ),
    "sinch": Sender(
        _sinch,
        timed=True,
        verify=_hmac(
            header="x-sinch-webhook-signature",
            encoding="base64",
            timestamp={"header": "x-sinch-webhook-signature-timestamp"},
            signed="${request.body}.${request.headers.x-sinch-webhook-signature-nonce}.${timestamp}",
        ),
    ),
    "mattermost": _InForm(lambda secret, delivery: {}, signs_body=False, verify={"scheme": "token", "form": "token"}),
    "mailgun-routes": _InForm(
        lambda secret, delivery: {},
        timed=True,
        signs_body=False,
        verify=_hmac(form="signature", timestamp={"form": "timestamp"}, signed="${timestamp}${request.form.token}"),
        fields=_mailgun_route,
    ),
    "braintree": _InForm(
        lambda secret, delivery: {},
        signs_body=False,
        secrets=(_sha1("the first"), _sha1("the second")),
        another=_sha1("another"),
        verify=_hmac(
            form="bt_signature",
            separator="&",
            prefix="my_public_key|",
            algorithm="sha1",
            key_encoding="hex",
            signed="${request.form.bt_payload}",
        ),
        fields=_braintree,
    ),
}  # fmt: skip
