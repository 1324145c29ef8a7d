"""Is this notification from SNS? For an HTTP endpoint, which anybody on the internet can call.

SNS signs every message; whoever holds the key of a certificate that lies under AWS's own host name is SNS.
https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import base64
import binascii
import re
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_SNS_HOST = re.compile(r"sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")

_SIGNED_FIELDS = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}

_HASHES: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}


class NotFromSns(Exception):
    """The message is not what it says it is."""


def is_sns_url(url: str) -> bool:
    """Whether `url` can only be answered by SNS. Anything else in a message may be an attacker's."""
    parts = urlsplit(url)
    return parts.scheme == "https" and parts.port in (None, 443) and bool(_SNS_HOST.fullmatch(parts.hostname or ""))


def download(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as response:
        return response.read(65536)


class SignatureCheck:
    """Keeps the certificates that it fetched: SNS uses one for months."""

    def __init__(self, fetch: Callable[[str], bytes] = download):
        self._fetch = fetch
        self._certificates: dict[str, x509.Certificate] = {}

    def check(self, message: dict[str, Any]) -> None:
        """Raises `NotFromSns`, or an OSError where the certificate could not be had: then try again later."""
        try:
            fields = _SIGNED_FIELDS[message["Type"]]
            algorithm = _HASHES[message["SignatureVersion"]]
            signature = base64.b64decode(message["Signature"], validate=True)
            url = message["SigningCertURL"]
            # A notification without a subject has no such field, and then it is not signed either.
            signed = "".join(f"{name}\n{message[name]}\n" for name in fields if name != "Subject" or name in message)
        except (KeyError, TypeError, binascii.Error) as fault:
            raise NotFromSns(f"not a signed SNS message: {fault!r}") from fault
        key = self._certificate(url).public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise NotFromSns("the certificate's key is not an RSA key")
        try:
            key.verify(signature, signed.encode(), padding.PKCS1v15(), algorithm)
        except InvalidSignature as fault:
            raise NotFromSns("the signature does not fit the message") from fault

    def _certificate(self, url: str) -> x509.Certificate:
        if not is_sns_url(url):
            raise NotFromSns(f"the certificate's address is not of SNS: {url!r}")
        if url not in self._certificates:
            try:
                self._certificates[url] = x509.load_pem_x509_certificate(self._fetch(url))
            except ValueError as fault:
                raise NotFromSns(f"no certificate at {url}") from fault
        certificate = self._certificates[url]
        if not certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc:
            raise NotFromSns("the certificate is not valid now")
        return certificate
