"""What is queued while the configuration changes under it, in a running Envoy: each event goes where it was to go, and no gauge
stays up. The old filter goes on in the main thread's VM, which no request can trap, until another one sends.
"""

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from rig.credential_servers import Mint, Sts
from rig.envoy import Envoy
from rig.envoy_config import EXAMPLES, EnvoyConfig
from rig.gateway import ANY_CREDENTIALS, StartGateway
from rig.http import send
from rig.lives import ReloadableGateway, trap
from rig.signatures import Key
from rig.sns_answers import acknowledge, error
from rig.sns_sink import SnsSink
from rig.sqs_sink import SqsSink
from rig.waiting import wait_for

TOPIC = "arn:aws:sns:us-east-1:123456789012:profile-events"
QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/dead"
EVENTS = 20

CHANGES: dict[str, dict[str, Any]] = {
    "another topic": {"topic_arn": "arn:aws:sns:us-east-1:123456789012:other"},
    "another region": {"topic_arn": TOPIC.replace("us-east-1", "eu-west-1")},
    "no such route": {"routes": [{"method": "POST", "matcher": "/elsewhere"}]},
    "another endpoint": {"endpoint": "https://sns-fips.us-east-1.amazonaws.com"},
    "another role": {
        "credentials": {
            "source": "environment",
            "assume_role": {"role_arn": "arn:aws:iam::123456789012:role/another"},
            "upstreams": {"sts": "sts"},
        },
    },
    "no queue of dead letters": {"dead_letter": {"log": True}},
}


def gauges(envoy: Envoy) -> list[float]:
    return [envoy.metric(f"retrohook_queued_{what}") for what in ("entries", "bytes")]


@pytest.fixture
def sts() -> Iterator[Sts]:
    server = Sts(Mint(), lambda: Key(ANY_CREDENTIALS.access_key_id, ANY_CREDENTIALS.secret_access_key, None))
    yield server
    server.stop()


@pytest.mark.parametrize(("change", "way"), [*zip(CHANGES, cycle(EXAMPLES))])
def test_what_was_queued_before_a_reload_a_trap_and_a_change_goes_where_it_was_to_go(
    start_gateway: StartGateway, sink: SnsSink, queue: SqsSink, sts: Sts, tmp_path: Path, change: str, way: str
) -> None:
    def add_clusters(config: EnvoyConfig) -> None:
        config.add_cluster_at("dead", queue.address)
        config.add_cluster_at("sts", sts.address)

    sink.answers = error(503)
    gateway = ReloadableGateway(
        start_gateway, tmp_path, way, sink.address, may_trap=True, adjust=add_clusters,
        dead_letter={"queue_url": QUEUE, "upstream": "dead"},
    )  # fmt: skip
    envoy = gateway.envoy
    for mark in range(EVENTS):
        assert send(envoy.address_of(), "PUT", f"/mockbin/profile?mark={mark}").status == 200
    wait_for(lambda: gauges(envoy)[0] == EVENTS, "the gauge")
    gateway.reload(attributes={"reload": "1"})
    trap(envoy)
    gateway.reload(**CHANGES[change])
    sink.answers = acknowledge
    wait_for(lambda: sink.marks >= set(range(EVENTS)), "every event", 60)
    wait_for(lambda: gauges(envoy) == [0, 0], "the gauges to come down", 60)
    topics = {
        request.parameters["TopicArn"]
        for request in sink.requests
        if any(each.mark is not None for each in request.summaries)
    }
    assert topics == {TOPIC}
    assert "retrohook-dead-letter" not in envoy.log() and not queue.requests
