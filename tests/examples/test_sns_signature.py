"""The signature check of the callback example, against a key of the test's own and against moto's."""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from rig.http import send
from rig.moto import Moto
from sns_signature import NotFromSns, SignatureCheck, is_sns_url

OTHER_URL = "https://sns.us-east-1.amazonaws.com.example.com/x.pem"


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("extra", [{}, {"Subject": "A profile changed"}])
def test_a_notification_of_sns_is_believed(signer: Any, version: str, extra: dict[str, str]) -> None:
    SignatureCheck(signer.fetch).check(signer.notification("text\nwith a line", version, **extra))


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_confirmation_of_sns_is_believed(signer: Any, version: str) -> None:
    SignatureCheck(signer.fetch).check(signer.confirmation("https://sns.us-east-1.amazonaws.com/?Token=x", version))


@pytest.mark.parametrize(
    "changes",
    [
        {"Message": "another"},
        {"TopicArn": "arn:aws:sns:us-east-1:123456789012:another"},
        {"Subject": "none was signed"},
        {"Timestamp": "2026-01-02T03:04:05.679Z"},
        {"Type": "UnsubscribeConfirmation"},
        {"Type": "Something"},
        {"SignatureVersion": "1"},
        {"SignatureVersion": "3"},
        {"Signature": "AAAA"},
        {"Signature": "not base64!"},
        {"Signature": None},
        {"SigningCertURL": OTHER_URL},
    ],
)
def test_whatever_is_changed_is_refused(signer: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(NotFromSns):
        SignatureCheck(signer.fetch).check({**signer.notification("text"), **changes})


@pytest.mark.parametrize("message", [{}, {"Type": "Notification"}, {"Type": ["Notification"]}])
def test_what_is_no_sns_message_is_refused(signer: Any, message: dict[str, Any]) -> None:
    with pytest.raises(NotFromSns):
        SignatureCheck(signer.fetch).check(message)


def test_a_certificate_that_is_no_longer_valid_is_refused(expired_signer: Any) -> None:
    with pytest.raises(NotFromSns, match="not valid now"):
        SignatureCheck(expired_signer.fetch).check(expired_signer.notification("text"))


def test_a_certificate_is_fetched_once_and_never_from_elsewhere(signer: Any) -> None:
    check = SignatureCheck(signer.fetch)
    signer.fetched.clear()
    for text in ("one", "two"):
        check.check(signer.notification(text))
    with pytest.raises(NotFromSns):
        check.check({**signer.notification("three"), "SigningCertURL": OTHER_URL})
    assert len(signer.fetched) == 1


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://sns.us-east-1.amazonaws.com/x.pem", True),
        ("https://sns.us-gov-west-1.amazonaws.com:443/x.pem", True),
        ("https://sns.cn-north-1.amazonaws.com.cn/x.pem", True),
        ("http://sns.us-east-1.amazonaws.com/x.pem", False),
        ("https://sns.us-east-1.amazonaws.com:8443/x.pem", False),
        ("https://sns.us-east-1.amazonaws.com@example.com/x.pem", False),
        ("https://example.com/sns.us-east-1.amazonaws.com/x.pem", False),
        ("https://sns.us-east-1.amazonaws.com.example.com/x.pem", False),
        ("https://sns.us-east-1xamazonaws.com/x.pem", False),
        ("https://sns.example.com#.amazonaws.com/x.pem", False),
        ("https://s3.us-east-1.amazonaws.com/sns.pem", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_which_addresses_are_of_sns(url: str, expected: bool) -> None:
    assert is_sns_url(url) is expected


def test_what_moto_signs_is_believed(moto: Moto) -> None:
    topic_arn = moto.create_topic()
    queue = moto.subscribe_queue(topic_arn, RawMessageDelivery="")
    moto.client("sns").publish(TopicArn=topic_arn, Message="text")
    (message,) = moto.receive(queue, 1)

    def fetch(url: str) -> bytes:
        # moto knows by the scope of a signature which service is meant, and asks for nothing more here.
        scope = {"authorization": "AWS4-HMAC-SHA256 Credential=any/20260102/us-east-1/sns/aws4_request"}
        return send(moto.address, "GET", urlsplit(url).path, scope).body

    SignatureCheck(fetch).check(json.loads(message["Body"]))
