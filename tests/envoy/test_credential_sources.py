"""Credentials that the filter gets for itself in real Envoy: from fakes of IMDSv2, ECS and STS, through clusters."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import pytest
from rig.credential_servers import ROLES, TOKEN, ContainerEndpoint, CredentialServer, Imds, Mint, Sts
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import MISSION_PUT, StartGateway
from rig.http import send
from rig.load import LoadProcess
from rig.signatures import is_right, key_id
from rig.sns_answers import Answer, acknowledge, error
from rig.sns_request import SnsRequest
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

pytestmark = pytest.mark.own_process

INSTANCE = "169.254.169.254:80"
CONTAINER = "169.254.170.2:80"
STS = "sts.us-east-1.amazonaws.com:443"
ROLE = "arn:aws:iam::123456789012:role/publisher"

# RETROHOOK_ROTATIONS=12 takes a minute.
ROTATIONS = int(os.environ.get("RETROHOOK_ROTATIONS", "3"))
ROTATION_RATE = 200.0
EVENTS_OF_A_KEY = 1_000

Server = TypeVar("Server", bound=CredentialServer)


@dataclass(frozen=True)
class Environment:
    """Envoy's own."""

    variables: dict[str, str]

    def environment(self) -> dict[str, str]:
        return self.variables


@pytest.fixture
def serve() -> Iterator[Callable[[Server], Server]]:
    """Stops servers at the end of the test."""
    servers: list[CredentialServer] = []

    def run(server: Server) -> Server:
        servers.append(server)
        return server

    yield run
    for server in servers:
        server.stop()


def clusters(**addresses: CredentialServer) -> Callable[[EnvoyConfig], None]:
    names = {"instance": INSTANCE, "container": CONTAINER, "sts": STS}

    def adjust(config: EnvoyConfig) -> None:
        for name, server in addresses.items():
            config.add_cluster(names[name], server.address)
        config.let_through("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN")

    return adjust


def assert_nothing_shown(envoy: Envoy, sink: SnsSink, *secrets: str) -> None:
    """In nothing that anything wrote: the log, the metrics, the events."""
    bodies = b"".join(request.body for request in sink.requests).decode()
    written = envoy.log() + envoy.admin_get("/stats/prometheus") + envoy.admin_get("/config_dump") + bodies
    for secret in secrets:
        assert len(secret) > 10 and secret not in written


def test_the_instance_is_asked_until_it_answers(
    start_gateway: StartGateway, sink: SnsSink, way: str, serve: Callable[[Imds], Imds]
) -> None:
    mint = Mint()
    imds = serve(Imds(mint))
    imds.delay = 0.05
    imds.faults[TOKEN].extend([(503, ""), (403, "")])
    imds.faults[ROLES].extend([(401, ""), (404, "")])
    imds.faults[ROLES + Imds.role].extend([(500, mint.newest.secret_access_key), (200, "{")])
    keys = Environment({})
    envoy = start_gateway(way, sink.address, keys, adjust=clusters(instance=imds), credentials={"source": "auto"})
    envoy.admin_get("/logging?wasm=trace")
    send(envoy.address_of(), *MISSION_PUT)
    # Six failures, with pauses that double, shared by the worker's VM and the main thread's, which asks as well.
    sink.wait_for_events(1)
    assert all(is_right(request, mint.newest, "sns") for request in sink.requests)
    for part in ["hop limit of 2", "HTTP 403", "attach an IAM role", "HTTP 500", "not its JSON", "there are some"]:
        wait_for(lambda part=part: part in envoy.log(), f"{part} in the log")
    assert_nothing_shown(envoy, sink, *mint.newest.secrets, *imds.all_tokens)


def test_a_slow_source_holds_up_events_and_nothing_else(
    start_gateway: StartGateway, sink: SnsSink, way: str, serve: Callable[[Imds], Imds]
) -> None:
    imds = serve(Imds(Mint()))
    imds.delay = 1.0
    keys = Environment({})
    settings = {"credentials": {"source": "instance"}, "timeout_ms": 200}
    envoy = start_gateway(way, sink.address, keys, adjust=clusters(instance=imds), **settings)
    assert send(envoy.address_of(), *MISSION_PUT).status == 200
    wait_for(lambda: "HTTP 504" in envoy.log(), "the timeout in the log")
    assert not sink.requests
    imds.delay = 0.0
    sink.wait_for_events(1)


def test_a_container_s_task_role(
    start_gateway: StartGateway, sink: SnsSink, way: str, serve: Callable[[ContainerEndpoint], ContainerEndpoint]
) -> None:
    # Credentials that end within the test: the next ones are got before that.
    mint = Mint(lifetime=6.0)
    agent = serve(ContainerEndpoint(mint))
    agent.faults[agent.path].append((500, ""))
    keys = Environment(
        {
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": agent.path,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": agent.token,
        }
    )
    envoy = start_gateway(way, sink.address, keys, adjust=clusters(container=agent), credentials={"source": "auto"})
    send(envoy.address_of(), *MISSION_PUT)
    sink.wait_for_events(1)
    first = mint.newest
    mint.lifetime = 3600.0
    second = mint.rotate()

    def the_new_key_signs() -> bool:
        send(envoy.address_of(), *MISSION_PUT)
        return key_id(sink.requests[-1]) == second.access_key_id

    wait_for(the_new_key_signs, "a request signed with the new key")
    assert {key_id(request) for request in sink.requests} == {first.access_key_id, second.access_key_id}
    assert all(is_right(request, mint.keys[key_id(request)], "sns") for request in sink.requests)
    assert_nothing_shown(envoy, sink, *first.secrets, *second.secrets, agent.token)


@pytest.mark.parametrize("token", [True, False])
def test_envoy_signs_where_the_filter_does_not(start_gateway: StartGateway, sink: SnsSink, token: bool) -> None:
    key = Mint().newest
    variables = {"AWS_ACCESS_KEY_ID": key.access_key_id, "AWS_SECRET_ACCESS_KEY": key.secret_access_key}
    if token:
        variables["AWS_SESSION_TOKEN"] = key.session_token
    envoy = start_gateway("host-signs", sink.address, Environment(variables))
    send(envoy.address_of(), *MISSION_PUT)
    sink.wait_for_events(1)
    for request in sink.requests:
        assert is_right(request, key if token else replace(key, session_token=None), "sns"), request.headers
    assert_nothing_shown(envoy, sink, *key.secrets)


def test_a_role_that_is_assumed(
    start_gateway: StartGateway, sink: SnsSink, way: str, serve: Callable[[CredentialServer], CredentialServer]
) -> None:
    own, assumed = Mint(), Mint()
    imds, sts = Imds(own), Sts(assumed, lambda: own.newest)
    serve(imds)
    serve(sts)
    assumed.rotate()
    sts.deny = True
    role = {"role_arn": ROLE, "session_name": "gateway-1", "external_id": "tenant:7"}
    settings = {"source": "instance", "assume_role": role}
    keys = Environment({})
    envoy = start_gateway(way, sink.address, keys, adjust=clusters(instance=imds, sts=sts), credentials=settings)
    send(envoy.address_of(), *MISSION_PUT)
    wait_for(lambda: "trust policy must name the one who asks" in envoy.log(), "what to check")
    assert "assumed-role/gateway-role/i-1 is not authorized" in envoy.log()
    assert not sink.requests
    sts.deny = False
    sink.wait_for_events(1)
    assert all(is_right(request, assumed.newest, "sns") for request in sink.requests)
    asked = sts.parameters[-1]
    assert (asked["RoleArn"], asked["RoleSessionName"], asked["ExternalId"]) == (ROLE, "gateway-1", "tenant:7")
    assert "SignatureDoesNotMatch" not in envoy.log()
    assert_nothing_shown(envoy, sink, *own.newest.secrets, *assumed.newest.secrets, *imds.all_tokens)


def test_nothing_is_lost_while_credentials_rotate(
    start_gateway: StartGateway, sink: SnsSink, way: str, serve: Callable[[Imds], Imds]
) -> None:
    """AWS stops to know a key long before the end that its source gave it, again and again."""
    mint = Mint()
    imds = serve(Imds(mint))
    taken: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    wrong: list[str] = []

    def answer(request: SnsRequest) -> Answer:
        key = mint.keys.get(key_id(request))
        if not key or not is_right(request, key, "sns"):
            wrong.append(request.headers.get("authorization", ""))
            return error(403, "SignatureDoesNotMatch")(request)
        if key is not mint.newest:
            refused[key.access_key_id] += 1
            return error(403, "ExpiredToken")(request)
        taken[key.access_key_id] += len(request.summaries)
        return acknowledge(request)

    sink.answers = answer
    keys = Environment({})
    envoy = start_gateway(
        way, sink.address, keys, adjust=clusters(instance=imds), credentials={"source": "instance"}, max_in_flight=4
    )
    load = LoadProcess(envoy.address_of(), "PUT", "/mockbin/profile", 1_000_000, ROTATION_RATE)
    for _ in range(ROTATIONS):
        key = mint.newest.access_key_id
        wait_for(lambda key=key: taken[key] >= EVENTS_OF_A_KEY, "events that this key has signed")
        mint.rotate()
        wait_for(lambda key=key: refused[key], "it to be refused while it is in use")
    statuses = load.finish().statuses
    assert statuses.keys() == {200}
    count = statuses[200]
    wait_for(lambda: len(sink.marks) == count, "every event")
    print(f"{way}: {len(mint.keys)} keys, {count} events, refused calls {dict(refused)}")
    assert wrong == []
    # What was under way when the first refusal came, and nothing after it; a worker that helps the sender has as many calls.
    assert all(calls <= 2 * 4 for calls in refused.values()), refused
    wait_for(lambda: envoy.metric("retrohook_events_published_total") == count, "the metric")
    assert set(sink.stored.values()) == {1}
    assert_nothing_shown(
        envoy, sink, *imds.all_tokens, *(secret for key in mint.keys.values() for secret in key.secrets)
    )
