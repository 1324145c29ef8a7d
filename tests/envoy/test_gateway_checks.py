"""What docs/gateway-checks.md has for senders that a capture does not check, as it stands there, before a capture in real Envoy."""

import base64
import hashlib
import http.client
import json
import re
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rig import PROJECT
from rig.certificates import Authority
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.http import Address, Reply, send
from rig.jwt import Issuer
from rig.sqs_sink import SqsSink

PAGE = (PROJECT / "docs" / "gateway-checks.md").read_text()
JWT, SENDERS, TLS, CLIENT_CERTIFICATES, PASSWORDS = map(yaml.safe_load, re.findall(r"```yaml\n(.+?)```", PAGE, re.DOTALL))
GOOGLE = {"iss": "https://accounts.google.com", "aud": "https://hooks.example.com/webhook"}
EMAIL = "pubsub@example.iam.gserviceaccount.com"

Start = Callable[..., Envoy]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.stop()


def only(queue: SqsSink) -> dict[str, Any]:
    """The headers of the one message that is stored."""
    (request,) = queue.requests
    queue.requests.clear()
    return request.message["headers"]


@pytest.mark.parametrize("checks_sender", [False, True])
def test_a_jwt_is_checked_before_and_its_claims_are_stored(
    start_capture: Start, queue: SqsSink, issuer: Issuer, checks_sender: bool
) -> None:
    def adjust(config: EnvoyConfig) -> None:
        (jwt,), senders = yaml.safe_load(yaml.dump(JWT)), SENDERS if checks_sender else []
        provider = jwt["typed_config"]["providers"]["google"]
        if checks_sender:
            provider["payload_in_metadata"] = "claims"
        config.put_before_retrohook(jwt, *senders)
        config.add_cluster_at(provider["remote_jwks"]["http_uri"]["cluster"], issuer.address)

    envoy = start_capture(queue, adjust, {"id": "${request.body./message/messageId}"})
    forged = base64.urlsafe_b64encode(b'{"email":"forged"}').decode()

    def post(token: str | None) -> Reply:
        authorization = {} if token is None else {"authorization": f"Bearer {token}"}
        body = '{"message":{"messageId":"7"}}'
        return send(envoy.address_of(), "POST", "/webhook", {"x-jwt-payload": forged, **authorization}, body)

    good = issuer.token(**GOOGLE, email=EMAIL, email_verified=True)
    assert post(good).status == 200, envoy.log()[-2000:]
    headers = only(queue)
    assert isinstance(headers["x-jwt-payload"], str), "a list would have the client's own"
    claims = json.loads(base64.urlsafe_b64decode(headers["x-jwt-payload"] + "=="))
    assert (claims["email"], "authorization" in headers) == (EMAIL, False)

    head, payload, signature = good.split(".")
    stranger, late = Issuer(), int(time.time()) - 120
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    for bad in (
        None,
        "",
        f"{head}.{payload}",
        f"{head}.{payload[:-2]}AA.{signature}",
        f"{unsigned}.{payload}.",
        stranger.token(**GOOGLE),
        issuer.token(**{**GOOGLE, "iss": "https://accounts.example.com"}),
        issuer.token(**GOOGLE, exp=late),
    ):
        assert (post(bad).status, len(queue.requests)) == (401, 0), bad
    stranger.stop()
    of_others = issuer.token(**{**GOOGLE, "aud": "https://other.example.com"})
    assert (post(of_others).status, len(queue.requests)) == (403, 0)
    other = post(issuer.token(**GOOGLE, email="other@example.iam.gserviceaccount.com", email_verified=True))
    assert other.status == (403 if checks_sender else 200)


def test_names_and_passwords_are_checked_before_and_the_name_is_stored(
    start_capture: Start, queue: SqsSink, tmp_path: Path
) -> None:
    passwords = tmp_path / "senders.htpasswd"
    hashed = base64.b64encode(hashlib.sha1(b"s3cret").digest()).decode()
    passwords.write_text(f"partner:{{SHA}}{hashed}\n")

    def adjust(config: EnvoyConfig) -> None:
        (basic,) = yaml.safe_load(yaml.dump(PASSWORDS))
        basic["typed_config"]["users"]["filename"] = str(passwords)
        config.put_before_retrohook(basic)

    envoy = start_capture(queue, adjust)

    def post(credentials: str | None) -> int:
        given = {} if credentials is None else {"authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}
        return send(envoy.address_of(), "POST", "/webhook", {"x-sender": "forged", **given}, "{}").status

    assert post("partner:s3cret") == 200, envoy.log()[-2000:]
    headers = only(queue)
    assert (headers["x-sender"], "authorization" in headers) == ("partner", False)
    for bad in (None, "partner:secret", "partner:", "other:s3cret", "partner"):
        assert (post(bad), len(queue.requests)) == (401, 0), bad


def post_over_tls(address: Address, context: ssl.SSLContext, headers: dict[str, str]) -> int:
    connection = http.client.HTTPSConnection(address[0], address[1], context=context, timeout=10)
    try:
        connection.request("POST", "/webhook", "{}", headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_certificate_is_checked_before_and_its_subject_is_stored(
    start_capture: Start, queue: SqsSink, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("authority", "stranger")]
    for folder in folders:
        folder.mkdir()
    authority, stranger = map(Authority, folders)

    def adjust(config: EnvoyConfig) -> None:
        tls = yaml.safe_load(yaml.dump(TLS))["transport_socket"]
        common = tls["typed_config"]["common_tls_context"]
        own = str(authority.certificate_of("127.0.0.1"))
        (certificate,) = common["tls_certificates"]
        certificate["certificate_chain"]["filename"] = certificate["private_key"]["filename"] = own
        common["validation_context"]["trusted_ca"]["filename"] = str(authority.certificate_path)
        config.take_tls(tls)
        config.http_manager.update(CLIENT_CERTIFICATES)

    envoy = start_capture(queue, adjust)

    def post(certificate: Path | None) -> int:
        context = authority.client_context(certificate)
        # The name of the server is not what is tried here.
        context.check_hostname = False
        forged = {"x-forwarded-client-cert": 'Subject="CN=forged"'}
        return post_over_tls(envoy.address_of(), context, forged)

    assert post(authority.certificate_of("a.partner.example.com")) == 200, envoy.log()[-2000:]
    said = only(queue)["x-forwarded-client-cert"]
    assert isinstance(said, str) and "forged" not in said
    assert re.fullmatch(r'Hash=[0-9a-f]{64};Subject="CN=a\.partner\.example\.com";DNS=a\.partner\.example\.com', said), said
    for bad in (None, authority.certificate_of("a.example.com"), stranger.certificate_of("a.partner.example.com")):
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            post(bad)
    assert not queue.requests
