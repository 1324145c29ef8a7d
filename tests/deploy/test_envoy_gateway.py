"""deploy/kubernetes/envoy-gateway in real Envoy, which signs with what EKS Pod Identity gives it: it publishes and captures."""

from collections.abc import Callable

import pytest
from rig.certificates import Authority
from rig.envoy import Envoy
from rig.gateway import MISSION_PUT, TRAPPING_WASM
from rig.http import send
from rig.lives import trap
from rig.signatures import is_right
from rig.sns_sink import SnsSink
from rig.sqs_sink import SqsSink
from rig.waiting import wait_for
from rig.webhook_stage import SECRET, signed

from .conftest import PodIdentity
from .envoy_gateway import LISTENER, EnvoyGateway
from .generated import World

SNS, SQS = "sns.us-east-1.amazonaws.com", "sqs.us-east-1.amazonaws.com"


def test_it_publishes_and_a_trap_is_over_with_the_next_requests(
    world: Callable[..., World], authority: Authority, pod_identity: PodIdentity
) -> None:
    with SnsSink(authority.server_context(SNS)) as sns:
        config = EnvoyGateway("gateway.yaml", "publish.yaml").envoy(world(sns, TRAPPING_WASM))
        with Envoy(config, pod_identity.environment) as envoy:
            gateway = envoy.address_of(LISTENER)
            assert send(gateway, *MISSION_PUT).status == 200
            (event,) = sns.wait_for_events(1)
            assert event.event["request"]["uri"] == "/mockbin/profile"
            assert set(sns.server_names) == {SNS}
            assert is_right(sns.requests[-1], pod_identity.mint.newest, "sns")
            wait_for(lambda: envoy.metric("retrohook_events_published_total", "profile-events") == 1, "the label of the target")
            trap(envoy, listener=LISTENER)
            wait_for(lambda: send(gateway, *MISSION_PUT).status == 200, "a VM")
            sns.wait_for_events(2)


def test_without_the_patch_a_trap_is_not_over(
    world: Callable[..., World], authority: Authority, pod_identity: PodIdentity
) -> None:
    with SnsSink(authority.server_context(SNS)) as sns:
        manifests = EnvoyGateway("gateway.yaml", "publish.yaml", without=("EnvoyPatchPolicy",))
        with Envoy(manifests.envoy(world(sns, TRAPPING_WASM)), pod_identity.environment) as envoy:
            trap(envoy, listener=LISTENER)
            assert [send(envoy.address_of(LISTENER), *MISSION_PUT).status for _ in range(5)] == [503] * 5


@pytest.fixture
def start(world: Callable[..., World], pod_identity: PodIdentity, started: list[Envoy]) -> Callable[..., Envoy]:
    def start(manifests: EnvoyGateway, sqs: SqsSink) -> Envoy:
        environment = {**pod_identity.environment, "STRIPE_SECRET": SECRET}
        started.append(Envoy(manifests.envoy(world(sqs)), environment))
        return started[-1]

    return start


def post(envoy: Envoy, body: str, path: str = "/webhook", **headers: str) -> int:
    return send(envoy.address_of(LISTENER), "POST", path, {**signed(body), **headers}, body).status


def test_a_policy_alone_answers_408_and_the_patch_has_it_capture(
    start: Callable[..., Envoy], authority: Authority, pod_identity: PodIdentity
) -> None:
    body = '{"id": "evt_1", "object": "event"}'
    with SqsSink(authority.server_context(SQS)) as sqs:
        unpatched = start(EnvoyGateway("gateway.yaml", "capture.yaml", without=("EnvoyPatchPolicy",)), sqs)
        assert post(unpatched, body) == 408
        assert not sqs.requests

        envoy = start(EnvoyGateway("gateway.yaml", "publish.yaml", "capture.yaml"), sqs)
        assert post(envoy, body) == 200
        (request,) = sqs.requests
        assert request.message["body"]["id"] == "evt_1" and request.attributes["verified"] == "true"
        assert is_right(request, pod_identity.mint.newest, "sqs")

        # As large as it may be, which Envoy's own default would refuse.
        large = '{"id": "' + "e" * 250_000 + '"}'
        assert post(envoy, large) == 200

        for path in ["/WEBHOOK", "/webhook/", "/x/..%2fwebhook/more", "/mockbin/../Webhook"]:
            assert post(envoy, "{}", path) == 503, path
            assert post(envoy, "{}", path, **{"content-type": "application/grpc"}) == 503, path
        assert send(envoy.address_of(LISTENER), "GET", "/webhook").status == 405
        assert len(sqs.requests) == 2
