"""Where the values of an event come from in Envoy: one expression where Envoy may be asked for it, and single properties where not."""

import re
from pathlib import Path
from typing import Any

import pytest
from rig.envoy_config import EnvoyConfig
from rig.gateway import MISSION_PUT, StartGateway
from rig.http import send
from rig.sns_sink import SnsSink

_OF_WASI = ("environ_get", "environ_sizes_get", "random_get", "clock_time_get", "fd_write", "proc_exit")


def forbid(config: EnvoyConfig, function: str) -> None:
    """Lets the filter call and be called by everything but this function of Proxy-Wasm."""
    module = Path(config.plugin["vm_config"]["code"]["local"]["filename"]).read_bytes()
    named = {name.decode() for name in re.findall(rb"proxy_[a-z_]+", module)}
    assert function in named
    allowed = {name: {} for name in (named | {"proxy_abi_version_0_2_1", *_OF_WASI}) - {function}}
    config.plugin["capability_restriction_config"] = {"allowed_capabilities": allowed}


def record(start_gateway: StartGateway, way: str, forbidden: str, **settings: Any) -> dict[str, Any]:
    with SnsSink() as sink:
        envoy = start_gateway(way, sink.address, adjust=lambda config: forbid(config, forbidden), **settings)
        assert send(envoy.address_of(), *MISSION_PUT).status == 200
        (entry,) = sink.wait_for_events(1)
        return entry.event


def shape(value: Any) -> Any:
    return {key: shape(each) for key, each in value.items()} if isinstance(value, dict) else type(value)


@pytest.mark.parametrize("settings", [{}, {"message": {"ip": "${client_ip}", "route": "${route.name}", "to": "${service.name}"}}])
def test_a_record_is_the_same_by_an_expression_and_by_properties(
    start_gateway: StartGateway, way: str, settings: dict[str, Any]
) -> None:
    asked_at_once = record(start_gateway, way, "proxy_get_property", **settings)
    one_by_one = record(start_gateway, way, "proxy_call_foreign_function", **settings)
    assert shape(asked_at_once) == shape(one_by_one)
    if settings:
        assert asked_at_once == one_by_one == {"ip": "127.0.0.1", "route": "mockbin", "to": "mockbin"}
    else:
        for same in ("client_ip", "route", "service", "source", "upstream_status", "upstream_uri"):
            assert asked_at_once[same] == one_by_one[same], same
        # A header of the response has the milliseconds of the service, which have one digit or several.
        assert abs(asked_at_once["response"]["size"] - one_by_one["response"]["size"]) <= 3
        assert abs(asked_at_once["started_at"] - one_by_one["started_at"]) < 60_000
