"""AWS as the examples see it: a key that signs SNS's messages, and the environment that boto3 reads; and workers with a handler."""

import base64
import datetime
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID
from rig.moto import REGION, Credentials, Moto, Queue
from webhook import Webhook
from webhook_inbox import Inbox, SqliteInbox
from webhook_worker import Worker

TOPIC_ARN = "arn:aws:sns:us-east-1:123456789012:profile-events"
HOST = "sns.us-east-1.amazonaws.com"
CERTIFICATE_URL = f"https://{HOST}/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
ISSUER_URL = "http://crt.r2m01.amazontrust.com/r2m01.cer"


class Authority:
    """A root or an intermediate authority, with the extensions that Amazon's have."""

    def __init__(self, name: str, parent: "Authority | None" = None):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        path_length = 0 if parent else None
        self.certificate = (parent or self).issue(
            self.name,
            self.key,
            [
                (x509.BasicConstraints(ca=True, path_length=path_length), True),
                (x509.KeyUsage(True, False, False, False, False, True, True, False, False), True),
            ],
        )

    def issue(
        self,
        name: x509.Name,
        key: rsa.RSAPrivateKey,
        extensions: list[tuple[x509.ExtensionType, bool]],
        valid_days: float = 1,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=2))
            .not_valid_after(now + datetime.timedelta(days=valid_days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


class Signer:
    """SNS: signs as its documentation says, and has a certificate of the shape that Amazon's has.

    Written apart from the code under test.
    """

    def __init__(
        self,
        names: tuple[str, ...] = ("sns.amazonaws.com",),
        valid_days: float = 1,
        issuer_url: str = ISSUER_URL,
        issuer: Authority | None = None,
    ):
        self.root = Authority("Root")
        self.issuer = issuer or Authority("Intermediate", self.root)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        caissuers = x509.AccessDescription(
            AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(issuer_url)
        )
        self.certificate = self.issuer.issue(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]),
            self._key,
            [
                (x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False),
                (x509.KeyUsage(True, False, True, False, False, False, False, False, False), True),
                (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
                (x509.AuthorityInformationAccess([caissuers]), False),
                (x509.BasicConstraints(ca=False, path_length=None), True),
            ],
            valid_days,
        ).public_bytes(serialization.Encoding.PEM)
        # What can be fetched, by address: from SNS its own certificate, without its issuer's.
        self.files = {CERTIFICATE_URL: self.certificate, ISSUER_URL: self.issuer.der}
        self.fetched: list[str] = []

    @property
    def roots(self) -> list[x509.Certificate]:
        return [self.root.certificate]

    def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        if url not in self.files:
            raise OSError("status 404")
        return self.files[url]

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
            "Timestamp": timestamp(),
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
            "Timestamp": timestamp(),
            **changes,
        }
        return self.sign(message, version)


def timestamp(ago: datetime.timedelta = datetime.timedelta()) -> str:
    """A time as SNS writes it."""
    return (datetime.datetime.now(datetime.UTC) - ago).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@pytest.fixture(scope="session")
def signer_of() -> type[Signer]:
    """Makes signers whose certificates are as a test wants them."""
    return Signer


@pytest.fixture(scope="session")
def shared_signer() -> Signer:
    return Signer()


@pytest.fixture
def signer(shared_signer: Signer) -> Signer:
    shared_signer.fetched.clear()
    shared_signer.files = {CERTIFICATE_URL: shared_signer.certificate, ISSUER_URL: shared_signer.issuer.der}
    return shared_signer


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


class Stub:
    """A client of AWS or an inbox with some methods replaced."""

    def __init__(self, whole: Any, **methods: Any):
        self._whole = whole
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)


@pytest.fixture(scope="session")
def stub() -> type[Stub]:
    """Makes stubs: of a client, with the methods that a test gives."""
    return Stub


class Handler:
    """Counts, fails for those in `poison`, and stops at `gate` for those in `slow` until the test opens it."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.done: list[str] = []
        self.poison: set[str] = set()
        self.slow: set[str] = set()
        self.gate = threading.Event()
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, webhook: Webhook) -> None:
        with self._lock:
            self.begun[webhook.id] += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if webhook.id in self.slow:
                assert self.gate.wait(30)
            if webhook.id in self.poison:
                raise RuntimeError("as the test asked")
            with self._lock:
                self.done.append(webhook.id)
        finally:
            with self._lock:
                self.at_once -= 1


StartWorker = Callable[..., Worker]


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return SqliteInbox(str(tmp_path / "inbox"))


@pytest.fixture(scope="module")
def threads() -> Iterator[list[threading.Thread]]:
    """Of workers that are told to stop, which takes as long as their last receive."""
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join(15)
        assert not thread.is_alive()


@pytest.fixture
def start(moto: Moto, handler: Handler, inbox: Inbox, threads: list[threading.Thread]) -> Iterator[StartWorker]:
    """Runs workers, each in a thread, until the end of the test or until they are stopped."""
    workers: list[Worker] = []

    def run(queue: Queue, grace_seconds: float = 5, **settings: Any) -> Worker:
        settings = {"sqs": moto.client("sqs"), "inbox": inbox, "retry_seconds": 0, "wait_seconds": 1, **settings}
        worker = Worker(queue_url=queue.url, handle=handler, **settings)
        workers.append(worker)
        threads.append(threading.Thread(target=worker.run, args=(grace_seconds,)))
        threads[-1].start()
        return worker

    yield run
    handler.gate.set()
    for worker in workers:
        worker.stop()
