"""The shipped TLS settings of the AWS cluster: only the CA file is replaced, so that a test can play AWS."""

from pathlib import Path

import pytest
from rig.certificates import Authority
from rig.gateway import MISSION_PUT, StartGateway
from rig.http import send
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

AWS_NAME = "sns.us-east-1.amazonaws.com"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_events_go_to_the_right_name_over_tls(start_gateway: StartGateway, authority: Authority, way: str) -> None:
    with SnsSink(authority.server_context(AWS_NAME)) as sink:
        envoy = start_gateway(way, sink.address, trusted_ca=authority.certificate_path)
        send(envoy.address_of(), *MISSION_PUT)
        sink.wait_for_events(1)
        assert set(sink.server_names) == {AWS_NAME}


def assert_nothing_is_sent(start_gateway: StartGateway, way: str, sink: SnsSink, trusted_ca: Path) -> None:
    envoy = start_gateway(way, sink.address, trusted_ca=trusted_ca)
    send(envoy.address_of(), *MISSION_PUT)
    wait_for(lambda: sink.server_names, "a TLS handshake")
    wait_for(lambda: "ssl.fail_verify" in _failures(envoy.admin_get("/stats")), "Envoy to refuse the certificate")
    failed = ("retrohook_callouts_error_total", "retrohook_callouts_no_reply_total")
    wait_for(lambda: sum(map(envoy.metric, failed)) >= 1, "the failed callout to be counted")
    assert not sink.requests


def _failures(stats: str) -> str:
    """The lines of certificate checks that failed."""
    return "\n".join(line for line in stats.splitlines() if "ssl.fail_verify" in line and not line.endswith(": 0"))


def test_another_names_certificate_is_refused(start_gateway: StartGateway, authority: Authority, way: str) -> None:
    with SnsSink(authority.server_context("sns.eu-west-1.amazonaws.com")) as sink:
        assert_nothing_is_sent(start_gateway, way, sink, authority.certificate_path)


def test_a_certificate_of_an_unknown_authority_is_refused(
    start_gateway: StartGateway, authority: Authority, way: str, tmp_path: Path
) -> None:
    with SnsSink(authority.server_context(AWS_NAME)) as sink:
        assert_nothing_is_sent(start_gateway, way, sink, Authority(tmp_path).certificate_path)
