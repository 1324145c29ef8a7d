"""The signature check of the callback example, against a key of the test's own and against moto's."""

import datetime
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from rig.http import send
from rig.moto import Moto
from sns_certificate import Certificates
from sns_signature import NotFromSns, SignatureCheck

HOST = "sns.us-east-1.amazonaws.com"
OTHER_URL = "https://sns.us-east-1.amazonaws.com.example.com/x.pem"


def check_of(signer: Any) -> SignatureCheck:
    return SignatureCheck(Certificates(HOST, signer.roots, signer.fetch).at)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("extra", [{}, {"Subject": "A profile changed"}])
def test_a_notification_of_sns_is_believed(signer: Any, version: str, extra: dict[str, str]) -> None:
    check_of(signer).check(signer.notification("text\nwith a line", version, **extra))


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_confirmation_of_sns_is_believed(signer: Any, version: str) -> None:
    check_of(signer).check(signer.confirmation("https://sns.us-east-1.amazonaws.com/?Token=x", version))


@pytest.mark.parametrize(
    "changes",
    [
        {"Message": "another"},
        {"TopicArn": "arn:aws:sns:us-east-1:123456789012:another"},
        {"Subject": "none was signed"},
        {"Timestamp": "2026-01-02T03:04:05.679Z"},
        {"Timestamp": "yesterday"},
        {"Type": "UnsubscribeConfirmation"},
        {"Type": "Something"},
        {"SignatureVersion": "1"},
        {"SignatureVersion": "3"},
        {"SignatureVersion": ["2"]},
        {"Signature": "AAAA"},
        {"Signature": "not base64!"},
        {"Signature": None},
        {"SigningCertURL": OTHER_URL},
        {"SigningCertURL": ["x"]},
        {"Message": "\ud800"},
    ],
)
def test_whatever_is_changed_is_refused(signer: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(NotFromSns):
        check_of(signer).check({**signer.notification("text"), **changes})


@pytest.mark.parametrize("changes", [{"Message": 5}, {"MessageId": ["x"]}, {"Message": None}])
def test_what_is_signed_is_text_and_not_what_looks_like_it(signer: Any, changes: dict[str, Any]) -> None:
    message = signer.notification("text", **{name: str(value) for name, value in changes.items()})
    check_of(signer).check(message)
    with pytest.raises(NotFromSns):
        check_of(signer).check({**message, **changes})


def test_a_line_break_does_not_move_what_is_signed_to_another_field(signer: Any) -> None:
    message = signer.notification("first\nMessageId\n1\nTimestamp\nx", MessageId="2")
    shifted = {**message, "Message": "first", "MessageId": "1\nTimestamp\nx\nMessageId\n2"}
    text = "".join(f"{name}\n{message[name]}\n" for name in ("Message", "MessageId"))
    assert "".join(f"{name}\n{shifted[name]}\n" for name in ("Message", "MessageId")) == text, "the same is signed"
    check_of(signer).check(message)
    with pytest.raises(NotFromSns, match="several lines"):
        check_of(signer).check(shifted)


@pytest.mark.parametrize(("hours", "is_believed"), [(0, True), (23, True), (25, False), (-23, True), (-25, False)])
def test_a_message_is_believed_for_a_day(signer: Any, hours: int, is_believed: bool) -> None:
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=hours)
    message = signer.notification("text", Timestamp=at.strftime("%Y-%m-%dT%H:%M:%S.000Z"))
    if is_believed:
        check_of(signer).check(message)
    else:
        with pytest.raises(NotFromSns, match="another time"):
            check_of(signer).check(message)


@pytest.mark.parametrize("message", [{}, {"Type": "Notification"}, {"Type": ["Notification"]}, [], "text", None])
def test_what_is_no_sns_message_is_refused(signer: Any, message: Any) -> None:
    with pytest.raises(NotFromSns):
        check_of(signer).check(message)
    assert signer.fetched == []


def test_what_moto_signs_is_believed(moto: Moto) -> None:
    topic_arn = moto.create_topic()
    queue = moto.subscribe_queue(topic_arn, RawMessageDelivery="")
    moto.client("sns").publish(TopicArn=topic_arn, Message="text")
    (message,) = moto.receive(queue, 1)

    def certificate_at(url: str) -> x509.Certificate:
        # moto knows by the scope of a signature which service is meant, and asks for nothing more
        # here.
        scope = {"authorization": "AWS4-HMAC-SHA256 Credential=any/20260102/us-east-1/sns/aws4_request"}
        return x509.load_pem_x509_certificate(send(moto.address, "GET", urlsplit(url).path, scope).body)

    SignatureCheck(certificate_at).check(json.loads(message["Body"]))
