"""What the gateways of an Envoy that tests share know of each other, which is nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import ANY_CREDENTIALS, MISSION_PUT
from rig.http import send
from rig.shared_envoy import SharedEnvoy, Tenant
from rig.sns_answers import acknowledge, error
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

Load = Callable[[str], EnvoyConfig]
TakeIn = Callable[[EnvoyConfig], Tenant]


@pytest.fixture
def take_in(shared_envoy: SharedEnvoy, tmp_path: Path, started: list[Envoy]) -> TakeIn:
    def take_in(config: EnvoyConfig) -> Tenant:
        assert shared_envoy.has_room_for(config)
        tenant = shared_envoy.take_in(config, config.write(tmp_path / "envoy.yaml"), ANY_CREDENTIALS.environment())
        started.append(tenant)
        return tenant

    return take_in


def publishing(config: Load, way: str, sink: SnsSink) -> EnvoyConfig:
    document = config(way)
    document.aim_aws(sink.address)
    return document


CASES = {"published": (acknowledge, "retrohook_events_published_total"), "queued": (error(503), "retrohook_callouts_error_total")}


@pytest.mark.parametrize("case", CASES)
def test_the_next_one_finds_nothing(
    take_in: TakeIn, shared_envoy: SharedEnvoy, config: Load, sink: SnsSink, way: str, case: str
) -> None:
    sink.answers, metric = CASES[case]
    first = take_in(publishing(config, way, sink))
    assert send(first.address_of(), *MISSION_PUT).status == 200
    wait_for(lambda: first.metric(metric) > 0, "the event to be stored, or in the journal")
    assert not shared_envoy.has_room_for(publishing(config, way, sink)), "a second one at the same time"
    first.stop()
    assert "starts" in first.log()

    sink.forget()
    sink.answers = acknowledge
    second = take_in(publishing(config, way, sink))
    assert second.pid == first.pid
    others = {name: value for name, value in second.metrics().items() if value}
    assert others == {"retrohook_build_info": 1}
    assert second.log().count("starts") <= 3 and "delivery" not in second.log()
    assert send(second.address_of(), *MISSION_PUT).status == 200
    sink.wait_for_events(1)
    wait_for(lambda: second.metric("retrohook_events_published_total") == 1, "its own event")
    assert len(sink.stored) == 1 and second.metric("retrohook_events_adopted_total") == 0


def test_one_with_a_fault_is_refused_with_the_reason(take_in: TakeIn, config: Load, sink: SnsSink) -> None:
    document = publishing(config, "http-filter", sink)
    document.configure(routes=[{"method": "PUT", "matcher": "("}])
    with pytest.raises(AssertionError, match=r"routes\[0\]\.matcher"):
        take_in(document)
    take_in(publishing(config, "http-filter", sink))


def test_one_that_needs_the_process_is_not_taken_in(shared_envoy: SharedEnvoy, config: Load, sink: SnsSink, tmp_path: Path) -> None:
    other = publishing(config, "http-filter", sink)
    other.plugin["vm_config"]["code"]["local"]["filename"] = str(tmp_path / "other.wasm")
    dynamic = publishing(config, "http-filter", sink)
    dynamic.serve_listeners(tmp_path / "listeners.json")
    signing = publishing(config, "http-filter", sink)
    signing.let_envoy_sign("sns.us-east-1.amazonaws.com:443", "sns")
    assert not any(map(shared_envoy.has_room_for, (other, dynamic, signing)))
