"""No secret is in anything that a process wrote: not in a log, a metric, a dead letter, a dump or an event."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest
from rig.credential_servers import Imds, Mint, Sts
from rig.envoy_config import EnvoyConfig
from rig.gateway import MISSION_PUT, StartGateway
from rig.http import send
from rig.signatures import Key, is_right
from rig.sns_answers import acknowledge, error, first, partial_failure
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

pytestmark = pytest.mark.own_process

ROLE = "arn:aws:iam::123456789012:role/publisher"
DUMPS = ["/stats/prometheus", "/stats?usedonly", "/clusters", "/config_dump", "/server_info", "/certs"]


@dataclass(frozen=True)
class Environment:
    """Envoy's own."""

    key: Key | None

    def environment(self) -> dict[str, str]:
        if not self.key:
            return {}
        return {
            "AWS_ACCESS_KEY_ID": self.key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.key.secret_access_key,
            "AWS_SESSION_TOKEN": self.key.session_token or "",
        }


@pytest.fixture
def sources() -> Iterator[tuple[Imds, Sts]]:
    own, assumed = Mint(), Mint()
    imds, sts = Imds(own), Sts(assumed, lambda: own.newest)
    yield imds, sts
    imds.stop()
    sts.stop()


def trouble(start_gateway: StartGateway, sink: SnsSink, way: str, **settings: object) -> str:
    """Runs a filter through all that makes it write, and gives everything that was written."""
    envoy = start_gateway(way, sink.address, timeout_ms=1000, queue={"max_age_seconds": 2}, **settings)
    envoy.admin_get("/logging?wasm=trace")

    def put(count: int) -> None:
        for _ in range(count):
            send(envoy.address_of(), *MISSION_PUT)

    for answers in [first(3, error(503)), partial_failure(lambda event_id: event_id.endswith("0")), acknowledge]:
        sink.answers = answers
        sink.forget()

        def are_stored() -> bool:
            # More of them, should the others have become too old.
            put(1)
            return len(sink.stored) >= 3

        wait_for(are_stored, "events to be stored")
    sink.answers = error(400, "InvalidParameter")
    put(1)
    wait_for(lambda: '"reason":"refused"' in envoy.log(), "a dead letter of what was refused")
    sink.answers = error(500)
    put(1)
    wait_for(lambda: '"reason":"expired"' in envoy.log(), "a dead letter of what was too old")
    put(2)
    dumps = [envoy.admin_get(path) for path in DUMPS]
    bodies = [request.body.decode() for request in sink.requests]
    assert bodies and all(dumps)
    envoy.stop()
    assert "stopping" in envoy.log()
    return "\n".join([envoy.log(), *dumps, *bodies])


def assert_hidden(secrets: Iterable[str], written: str) -> None:
    for secret in secrets:
        assert len(secret) > 10 and secret not in written, f"...{secret[-4:]}"


def test_of_the_environment(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    key = Mint().newest
    written = trouble(start_gateway, sink, way, keys=Environment(key))
    assert all(is_right(request, key, "sns") for request in sink.requests), "they were used"
    assert_hidden(key.secrets, written)


def test_of_an_instance_and_a_role(
    start_gateway: StartGateway, sink: SnsSink, way: str, sources: tuple[Imds, Sts]
) -> None:
    imds, sts = sources

    def adjust(config: EnvoyConfig) -> None:
        config.add_cluster("169.254.169.254:80", imds.address)
        config.add_cluster("sts.us-east-1.amazonaws.com:443", sts.address)

    credentials = {"source": "instance", "assume_role": {"role_arn": ROLE}}
    keys = Environment(None)
    written = trouble(start_gateway, sink, way, keys=keys, adjust=adjust, credentials=credentials)
    own = [secret for key in imds.mint.keys.values() for secret in key.secrets]
    assumed = [secret for key in sts.mint.keys.values() for secret in key.secrets]
    assert_hidden([*own, *assumed, *imds.all_tokens], written)
