"""Which certificates are SNS's: by their address, by what lies there, by whom they name and who issued them."""

import datetime
import re
import ssl
import threading
from typing import Any

import pytest
import sns_certificate
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from rig.certificates import Authority as OtherAuthority
from sns_certificate import Certificates, NotFromSns, amazon_roots, sns_host

HOST = "sns.us-east-1.amazonaws.com"
FILE = "SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
URL = f"https://{HOST}/{FILE}"
ISSUER_URL = "http://crt.r2m01.amazontrust.com/r2m01.cer"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sns_certificate, "_SECONDS_BETWEEN_FETCHES", 0.0)


def certificates_of(signer: Any, host: str = HOST) -> Certificates:
    return Certificates(host, signer.roots, signer.fetch)


def test_the_issuer_that_sns_leaves_out_is_fetched_and_all_is_kept(signer: Any) -> None:
    certificates = certificates_of(signer)
    for _ in range(3):
        assert certificates.at(URL) == x509.load_pem_x509_certificate(signer.certificate)
    assert signer.fetched == [URL, ISSUER_URL]


def test_an_issuer_that_is_in_the_file_is_not_fetched(signer: Any) -> None:
    signer.files = {URL: signer.certificate + signer.issuer.pem}
    certificates_of(signer).at(URL)
    assert signer.fetched == [URL]


def test_an_intermediate_that_is_trusted_needs_no_fetch_either(signer: Any) -> None:
    Certificates(HOST, [signer.issuer.certificate], signer.fetch).at(URL)
    assert signer.fetched == [URL]


@pytest.mark.parametrize(
    "url",
    [
        f"http://{HOST}/{FILE}",
        f"https://{HOST}:8443/{FILE}",
        f"https://{HOST}:80/{FILE}",
        f"https://user@{HOST}/{FILE}",
        f"https://{HOST}@example.com/{FILE}",
        f"https://{HOST}.example.com/{FILE}",
        f"https://example.com/{HOST}/{FILE}",
        f"https://sns.us-east-1xamazonaws.com/{FILE}",
        f"https://s3.us-east-1.amazonaws.com/{FILE}",
        f"https://sns.eu-west-1.amazonaws.com/{FILE}",
        f"https://{HOST}/{FILE}?Action=ListTopics",
        f"https://{HOST}/{FILE}?",
        f"https://{HOST}/{FILE}#x",
        f"https://{HOST}/{FILE};x",
        f"https://{HOST}//{FILE}",
        f"https://{HOST}/x/{FILE}",
        f"https://{HOST}/SimpleNotificationService-a/../x.pem",
        f"https://{HOST}/SimpleNotificationService-%2e%2e.pem",
        f"https://{HOST}/SimpleNotificationService-{'a' * 65}.pem",
        f"https://{HOST}/x.pem",
        f"https://{HOST}/?Action=GetTopicAttributes&x=/{FILE}",
        f"https://{HOST}\\@example.com/{FILE}",
        f"{URL}\n",
        f" {URL}",
        f"file:///{FILE}",
        "",
    ],
)
def test_no_other_address_is_ever_asked(signer: Any, url: str) -> None:
    with pytest.raises(NotFromSns, match="no address"):
        certificates_of(signer).at(url)
    assert signer.fetched == []


def test_the_port_of_https_may_be_named(signer: Any) -> None:
    named = f"https://{HOST}:443/{FILE}"
    signer.files[named] = signer.files[URL]
    certificates_of(signer).at(named)


@pytest.mark.parametrize(
    "around",
    [
        (b"<GetTopicAttributesResponse><value>", b"</value></GetTopicAttributesResponse>"),
        (b"\n", b""),
        (b"\xef\xbb\xbf", b""),
        (b"", b"\n<html>"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b""),
    ],
)
def test_a_certificate_inside_of_something_else_is_none(signer: Any, around: tuple[bytes, bytes]) -> None:
    signer.files[URL] = around[0] + signer.certificate + around[1]
    with pytest.raises(NotFromSns):
        certificates_of(signer).at(URL)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", b"<Error/>"])
def test_what_is_no_certificate_is_refused(signer: Any, content: bytes) -> None:
    signer.files[URL] = content
    with pytest.raises(NotFromSns):
        certificates_of(signer).at(URL)


def test_a_certificate_that_somebody_else_issued_is_refused(signer: Any, signer_of: Any) -> None:
    # An attacker's own, with all that SNS's has: its name, and an issuer that can be fetched.
    attacker = signer_of()
    with pytest.raises(NotFromSns, match="not good"):
        Certificates(HOST, signer.roots, attacker.fetch).at(URL)
    # And one that says it was issued by Amazon's real intermediate.
    attacker.files[ISSUER_URL] = signer.issuer.der
    with pytest.raises(NotFromSns, match="not good"):
        Certificates(HOST, signer.roots, attacker.fetch).at(URL)


def test_a_certificate_that_signed_itself_is_refused(signer: Any) -> None:
    signer.files[URL] = signer.root.pem
    with pytest.raises(NotFromSns):
        certificates_of(signer).at(URL)


def test_an_authority_that_is_trusted_speaks_for_sns_only_where_it_names_it(signer_of: Any) -> None:
    for names in (("example.com",), ("sns.eu-west-1.amazonaws.com",), ("*.amazonaws.com",), ("sns.amazonaws.com.cn",)):
        with pytest.raises(NotFromSns, match="does not name SNS"):
            certificates_of(signer_of(names)).at(URL)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("sns.us-east-1.amazonaws.com", "sns.amazonaws.com"),
        ("sns.eu-west-1.amazonaws.com", "sns.eu-west-1.amazonaws.com"),
        ("sns.af-south-1.amazonaws.com", "sns-signing.af-south-1.amazonaws.com"),
        ("sns.us-gov-east-1.amazonaws.com", "sns-us-gov-west-1.amazonaws.com"),
        ("sns.cn-north-1.amazonaws.com.cn", "sns-cn-north-1.amazonaws.com.cn"),
    ],
)
def test_the_names_of_sns_in_its_regions(signer_of: Any, host: str, name: str) -> None:
    signer = signer_of((name,))
    url = URL.replace(HOST, host)
    signer.files[url] = signer.files[URL]
    certificates_of(signer, host).at(url)


def test_a_certificate_whose_time_is_over_is_refused(signer_of: Any) -> None:
    with pytest.raises(NotFromSns, match="not good"):
        certificates_of(signer_of(valid_days=-1)).at(URL)


def test_a_certificate_whose_time_ends_while_it_is_kept_is_refused(signer_of: Any) -> None:
    signer = signer_of(valid_days=2 / 24 / 3600)
    certificates = certificates_of(signer)
    certificates.at(URL)
    ends = x509.load_pem_x509_certificate(signer.certificate).not_valid_after_utc
    # It is valid for the whole of its last second.
    while datetime.datetime.now(datetime.UTC) <= ends + datetime.timedelta(seconds=1):
        threading.Event().wait(0.2)
    with pytest.raises(NotFromSns, match="not good"):
        certificates.at(URL)


@pytest.mark.parametrize(
    "issuer_url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://crt.r2m01.amazontrust.com.example.com/r2m01.cer",
        "http://crt.r2m01.amazontrust.com:8080/r2m01.cer",
        "http://crt.r2m01.amazontrust.com/r2m01.cer?x",
        "file:///etc/passwd",
    ],
)
def test_an_issuer_is_fetched_from_amazon_alone(signer_of: Any, issuer_url: str) -> None:
    signer = signer_of(issuer_url=issuer_url)
    with pytest.raises(NotFromSns):
        certificates_of(signer).at(URL)
    assert signer.fetched == [URL]


def test_an_issuer_that_cannot_be_had_or_read_is_for_later(signer: Any) -> None:
    certificates = certificates_of(signer)
    for content in (None, b"<html>a captive portal"):
        signer.files = {URL: signer.certificate, **({ISSUER_URL: content} if content else {})}
        with pytest.raises(OSError):
            certificates.at(URL)
    signer.files[ISSUER_URL] = signer.issuer.der
    certificates.at(URL)


def test_issuers_that_lead_nowhere_end(signer_of: Any) -> None:
    # Its issuer's issuer is said to be the same again.
    signer = signer_of()
    signer.files[ISSUER_URL] = x509.load_pem_x509_certificate(signer_of().certificate).public_bytes(Encoding.DER)
    with pytest.raises(NotFromSns):
        certificates_of(signer).at(URL)
    assert len(signer.fetched) == 4


def test_aws_is_asked_once_a_second_whatever_is_posted(signer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sns_certificate, "_SECONDS_BETWEEN_FETCHES", 60.0)
    certificates = certificates_of(signer)
    certificates.at(URL)
    for number in range(100):
        with pytest.raises(OSError, match="too many"):
            certificates.at(f"https://{HOST}/SimpleNotificationService-{number}.pem")
    certificates.at(URL)
    assert signer.fetched == [URL, ISSUER_URL]


def test_many_at_once_fetch_it_once(signer: Any) -> None:
    certificates = certificates_of(signer)
    found: list[x509.Certificate] = []
    threads = [threading.Thread(target=lambda: found.append(certificates.at(URL))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert signer.fetched == [URL, ISSUER_URL]


def test_a_fetch_that_hangs_holds_up_nobody_for_long(signer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sns_certificate, "_MOST_SECONDS_TO_WAIT", 0.1)
    gate, begun = threading.Event(), threading.Event()
    other = f"https://{HOST}/SimpleNotificationService-hangs.pem"

    def fetch(url: str) -> bytes:
        if url == other:
            begun.set()
            assert gate.wait(30)
        return signer.fetch(url)

    certificates = Certificates(HOST, signer.roots, fetch)
    certificates.at(URL)

    def hang() -> None:
        with pytest.raises(OSError):
            certificates.at(other)

    thread = threading.Thread(target=hang)
    thread.start()
    assert begun.wait(10)
    certificates.at(URL)
    with pytest.raises(OSError, match="being fetched"):
        certificates.at(f"https://{HOST}/SimpleNotificationService-another.pem")
    gate.set()
    thread.join(10)


def test_so_many_are_kept(signer: Any) -> None:
    certificates = certificates_of(signer)
    for number in range(20):
        url = f"https://{HOST}/SimpleNotificationService-{number}.pem"
        signer.files[url] = signer.certificate
        certificates.at(url)
    assert len(certificates._chains) == 8


def test_of_the_systems_roots_only_amazons_are_believed(
    signer: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = amazon_roots()
    names = [root.subject.rfc4514_string() for root in roots]
    assert names and all(re.fullmatch(r"CN=Amazon Root CA \d,O=Amazon,C=US", name) for name in names)
    # One that the system trusts as well, and that is not Amazon's.
    other = OtherAuthority(tmp_path).certificate_path
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    assert ssl.create_default_context().get_ca_certs()
    with pytest.raises(ValueError, match="no root certificate of Amazon"):
        amazon_roots()
    assert amazon_roots(str(other)) == x509.load_pem_x509_certificates(other.read_bytes())


def test_roots_are_found_in_a_directory_as_well(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "certs"
    directory.mkdir()
    expected = amazon_roots()
    for number, root in enumerate(expected):
        (directory / f"{number:08x}.0").write_bytes(root.public_bytes(Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(directory))
    found = amazon_roots()
    assert sorted(each.serial_number for each in found) == sorted(each.serial_number for each in expected)


@pytest.mark.parametrize(
    ("topic_arn", "host"),
    [
        ("arn:aws:sns:us-east-1:123456789012:events", "sns.us-east-1.amazonaws.com"),
        ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:events.fifo", "sns.us-gov-west-1.amazonaws.com"),
        ("arn:aws-cn:sns:cn-north-1:123456789012:events", "sns.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_the_host_of_a_topic(topic_arn: str, host: str) -> None:
    assert sns_host(topic_arn) == host


@pytest.mark.parametrize("text", ["", "events", "arn:aws:sqs:us-east-1:123456789012:events", "arn:aws:sns:x/y:123456789012:e"])
def test_what_is_no_topic_has_no_host(text: str) -> None:
    with pytest.raises(ValueError, match="not the ARN"):
        sns_host(text)
