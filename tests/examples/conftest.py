"""AWS as the examples see it: a key that signs SNS's messages, and the environment that boto3 reads."""

import base64
import datetime
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from rig.moto import REGION, Credentials, Moto

TOPIC_ARN = "arn:aws:sns:us-east-1:123456789012:profile-events"
CERTIFICATE_URL = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"


class Signer:
    """Signs as the documentation of SNS says; written apart from the code under test."""

    def __init__(self, valid_days: int = 1) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        now = datetime.datetime.now(datetime.UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=2))
            .not_valid_after(now + datetime.timedelta(days=valid_days))
            .sign(self._key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )
        self.fetched: list[str] = []

    def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        return self.certificate

    def sign(self, message: dict[str, Any], version: str = "2") -> dict[str, Any]:
        if message["Type"] == "Notification":
            order = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
        else:
            order = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
        text = "".join(f"{field}\n{message[field]}\n" for field in order if field in message)
        algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), algorithm)
        return {
            **message,
            "SignatureVersion": version,
            "Signature": base64.b64encode(signature).decode(),
            "SigningCertURL": CERTIFICATE_URL,
        }

    def notification(self, text: str, version: str = "2", **changes: Any) -> dict[str, Any]:
        message = {
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC_ARN,
            "Message": text,
            "Timestamp": "2026-01-02T03:04:05.678Z",
            **changes,
        }
        return self.sign(message, version)

    def confirmation(self, url: str, version: str = "2", **changes: Any) -> dict[str, Any]:
        message = {
            "Type": "SubscriptionConfirmation",
            "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
            "Token": "2336412f37",
            "TopicArn": TOPIC_ARN,
            "Message": "You have chosen to subscribe to the topic.\nTo confirm it, visit the SubscribeURL.",
            "SubscribeURL": url,
            "Timestamp": "2026-01-02T03:04:05.678Z",
            **changes,
        }
        return self.sign(message, version)


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="session")
def expired_signer() -> Signer:
    return Signer(valid_days=-1)


@pytest.fixture
def topic_arn() -> str:
    return TOPIC_ARN


@pytest.fixture
def act_as(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> Callable[[Credentials], None]:
    """Lets what is called in this process call AWS as a user."""

    def act_as(user: Credentials) -> None:
        environment = {**user.environment(), "AWS_ENDPOINT_URL": moto.url, "AWS_DEFAULT_REGION": REGION}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        # It keeps the credentials that it has found once.
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)

    return act_as
