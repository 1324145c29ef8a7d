"""A configuration with a fault never half-works: Envoy does not start, and its log says where the fault is.

The configuration is read alike on both ways into Envoy; that both refuse to start is one test at the end.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rig.envoy import command
from rig.envoy_config import EnvoyConfig
from rig.gateway import StartGateway
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

pytestmark = pytest.mark.own_process

LoadConfig = Callable[[str], EnvoyConfig]

PUT_PROFILE = {"method": "PUT", "matcher": "/profile"}


def refusal(config: EnvoyConfig, tmp_path: Path) -> str:
    """What Envoy logs on its way out."""
    path = config.write(tmp_path / "envoy.yaml")
    run = subprocess.run(command(path, "--mode", "validate"), capture_output=True, text=True, timeout=60)
    log = run.stdout + run.stderr
    assert run.returncode != 0, log
    assert "panicked" not in log, log
    return log


# One of each kind; the test host refuses all of tests/configs/faults.json.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"routes": [{**PUT_PROFILE, "metod": "PUT"}]}, "routes[0].metod"),
    "bad regex": ({"routes": [PUT_PROFILE, {"method": "PUT", "matcher": "(/profile"}]}, "routes[1].matcher"),
    "ARN of another service": ({"topic_arn": "arn:aws:sqs:us-east-1:123456789012:profile-events"}, "topic_arn"),
    "eleven attributes": ({"attributes": {f"a{number}": "x" for number in range(11)}}, "attributes"),
    "half a key": (
        {"credentials": {"source": "static", "access_key_id": "AKIDEXAMPLE"}},
        "credentials.secret_access_key",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_by_its_path(config: LoadConfig, tmp_path: Path, fault: str) -> None:
    changes, path = FAULTS[fault]
    document = config("http-filter")
    document.configure(**changes)
    assert path in refusal(document, tmp_path)


def test_all_faults_are_reported_at_once(config: LoadConfig, tmp_path: Path) -> None:
    document = config("http-filter")
    document.configure(topic_arn="x", routes=[{**PUT_PROFILE, "matcher": "("}], batch={"max_entries": 0})
    log = refusal(document, tmp_path)
    for path in ("topic_arn", "routes[0].matcher", "batch.max_entries"):
        assert path in log


@pytest.mark.parametrize("text", ["", "{", "{}"])
def test_what_is_no_configuration_is_refused(config: LoadConfig, tmp_path: Path, text: str) -> None:
    document = config("http-filter")
    document.configure_text(text)
    refusal(document, tmp_path)


def test_a_struct_is_refused(config: LoadConfig, tmp_path: Path) -> None:
    # Envoy hands it over as binary protobuf.
    document = config("http-filter")
    struct = {"@type": "type.googleapis.com/google.protobuf.Struct", "value": document.settings}
    document.plugin["configuration"] = struct
    log = refusal(document, tmp_path)
    assert "not valid JSON" in log and "type.googleapis.com/google.protobuf.StringValue" in log


def test_a_secret_in_a_faulty_configuration_is_not_logged(config: LoadConfig, tmp_path: Path) -> None:
    document = config("http-filter")
    credentials = {"source": "static", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "do-not-show-this"}
    document.configure(credentials=credentials, timeout_ms="x")
    assert "do-not-show-this" not in refusal(document, tmp_path)


def test_envoy_does_not_serve_with_a_fault(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    with pytest.raises(AssertionError, match=r"routes\[0\]\.matcher"):
        start_gateway(way, sink.address, routes=[{"method": "PUT", "matcher": "("}])


def test_a_matcher_in_another_syntax_draws_a_warning(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    envoy = start_gateway(way, sink.address, routes=[{"method": "PUT", "matcher": "/users/:id"}])
    wait_for(lambda: "routes[0].matcher: has a parameter as in `/:id`" in envoy.log(), "the warning")
