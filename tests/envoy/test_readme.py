"""The event that README.md shows is what Envoy publishes for such a request."""

import json
import re
from typing import Any

from rig import PROJECT
from rig.gateway import MISSION_PUT, StartGateway
from rig.http import send
from rig.sns_sink import SnsSink

README = (PROJECT / "README.md").read_text()

# What differs from run to run, and what a machine decides.
OWN = {"event_id", "started_at", "client_ip", "size", "request", "proxy", "kong"}


def assert_shown(shown: Any, published: Any, name: str) -> None:
    assert type(shown) is type(published), name
    if isinstance(shown, dict):
        for key, value in shown.items():
            assert key in published, f"{name}.{key}"
            assert_shown(value, published[key], f"{name}.{key}")
    elif name.rpartition(".")[2] not in OWN:
        assert shown == published, name


def test_the_event_that_the_readme_shows_is_published(start_gateway: StartGateway, sink: SnsSink) -> None:
    (shown,) = re.findall(r"```jsonc\n(.+?)```", README, re.DOTALL)
    route = {"method": "PUT", "matcher": "/profile", "event_type": "profile.updated"}
    envoy = start_gateway("http-filter", sink.address, routes=[route])
    method, path, headers, body = MISSION_PUT
    assert send(envoy.address_of(), method, path, {**headers, "authorization": "Bearer secret"}, body).status == 200
    sink.wait_for_events(1)
    (entry,) = sink.entries()
    assert_shown(json.loads(shown), entry.event, "event")
