"""Checks whether a message is from SNS, for an HTTP endpoint that anybody on the internet can call.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from sns_certificate import NotFromSns

_SIGNED_FIELDS = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}

# In what is signed only a line break parts one field from the next, so no other may have one.
_FIELDS_WITH_LINES = ("Message", "Subject")

_HASHES: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}

# SNS tries an HTTP endpoint for an hour at most. An attacker who has seen a message on its way,
# over plain http for instance, can send it again after that, but not for longer than this.
_MOST_AGE = timedelta(days=1)


class SignatureCheck:
    """Believes messages that are signed by the key of a certificate that `certificate_at` returns."""

    def __init__(self, certificate_at: Callable[[str], x509.Certificate]):
        self._certificate_at = certificate_at

    def check(self, message: Any) -> None:
        """Raises `NotFromSns`, or an OSError where the certificate could not be had: try again later."""
        try:
            algorithm = _HASHES[message["SignatureVersion"]]
            signature = base64.b64decode(message["Signature"], validate=True)
            url = message["SigningCertURL"]
            signed = _signed(message)
            age = datetime.now(UTC) - datetime.fromisoformat(message["Timestamp"])
        except (KeyError, TypeError, ValueError, binascii.Error) as fault:
            raise NotFromSns(f"not a signed SNS message: {fault!r:.200}") from fault
        if not -_MOST_AGE < age < _MOST_AGE:
            raise NotFromSns(f"signed at another time: {message['Timestamp']!r:.100}")
        if not isinstance(url, str):
            raise NotFromSns("not a signed SNS message: no address of a certificate")
        key = self._certificate_at(url).public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise NotFromSns("the certificate's key is not an RSA key")
        try:
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        except InvalidSignature as fault:
            raise NotFromSns("the signature does not fit the message") from fault


def _signed(message: dict[str, Any]) -> bytes:
    """Returns the text that SNS signs. A notification without a subject has no such field."""
    text = ""
    for name in _SIGNED_FIELDS[message["Type"]]:
        if name == "Subject" and name not in message:
            continue
        value = message[name]
        if not isinstance(value, str):
            raise TypeError(f"{name} is no text")
        if "\n" in value and name not in _FIELDS_WITH_LINES:
            raise ValueError(f"{name} has several lines")
        text += f"{name}\n{value}\n"
    return text.encode()
