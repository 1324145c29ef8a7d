"""deploy/kubernetes/istio in real Envoy, which signs with what EKS Pod Identity gives it: it publishes and captures."""

import json
from collections.abc import Callable
from typing import Any

from rig.certificates import Authority
from rig.envoy import Envoy
from rig.envoy_config import mappings
from rig.gateway import MISSION_PUT, TRAPPING_WASM
from rig.http import send
from rig.lives import trap
from rig.signatures import is_right
from rig.sns_sink import SnsSink
from rig.sqs_sink import SqsSink
from rig.waiting import wait_for
from rig.webhook_stage import SECRET, signed

from .conftest import Irsa, PodIdentity
from .generated import World
from .istio import LISTENER, Istio
from .manifests import faults

SQS = "sqs.us-east-1.amazonaws.com"
PATHS = ["//mockbin/profile", "/x/..%2fmockbin/profile", "/mockbin/./profile"]


def test_it_publishes_what_envoy_signs_with_the_pod_s_identity(
    world: Callable[..., World], authority: Authority, pod_identity: PodIdentity, started: list[Envoy]
) -> None:
    with SnsSink(authority.server_context("sns.us-east-1.amazonaws.com")) as sns:
        started.append(Envoy(Istio("gateway.yaml", "publish.yaml").envoy(world(sns)), pod_identity.environment))
        gateway = started[0].address_of(LISTENER)
        assert send(gateway, *MISSION_PUT).status == 200
        (event,) = sns.wait_for_events(1)
        assert json.loads(event.message)["request"]["uri"] == "/mockbin/profile"
        assert set(sns.server_names) == {"sns.us-east-1.amazonaws.com"}
        assert is_right(sns.requests[-1], pod_identity.mint.newest, "sns")
        for path in PATHS:
            assert send(gateway, "PUT", path).status == 200, path
        assert len(sns.wait_for_events(1 + len(PATHS))) == 1 + len(PATHS)


def test_it_publishes_what_envoy_signs_as_the_role_of_irsa(
    world: Callable[..., World], authority: Authority, irsa: Irsa, started: list[Envoy]
) -> None:
    with SnsSink(authority.server_context("sns.us-east-1.amazonaws.com")) as sns:
        started.append(irsa.start(Istio("gateway.yaml", "publish.yaml").envoy(world(sns))))

        def is_signed() -> bool:
            send(started[0].address_of(LISTENER), *MISSION_PUT)
            return bool(sns.requests) and is_right(sns.requests[-1], irsa.mint.newest, "sns")

        wait_for(is_signed, "a signature of the role")
        assert all("RoleArn=arn:aws:iam::123456789012:role/edge&" in asked for asked in irsa.asked)


def capturing(started: list[Envoy], manifests: Istio, world: World, pod_identity: PodIdentity) -> Envoy:
    started.append(Envoy(manifests.envoy(world), {**pod_identity.environment, "STRIPE_SECRET": SECRET}))
    return started[-1]


def post(envoy: Envoy, body: str, path: str = "/webhook", **headers: str) -> int:
    return send(envoy.address_of(LISTENER), "POST", path, {**signed(body), **headers}, body).status


def as_a_plugin(manifests: Istio) -> None:
    """Has a WasmPlugin capture with the same configuration, in the place of the EnvoyFilter."""
    (filter_,) = (each for each in manifests.documents if each["metadata"]["name"] == "retrohook-capture")
    (config,) = (each["configuration"]["value"] for each in mappings(filter_) if "configuration" in each)
    plugin: dict[str, Any] = {
        "url": "oci://registry.example.com/retrohook:0.2.0",
        "failStrategy": "FAIL_RELOAD",
        "pluginConfig": json.loads(config),
        "vmConfig": {"env": [{"name": "STRIPE_SECRET", "valueFrom": "HOST"}]},
    }
    document = {
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": {"name": "retrohook", "namespace": "edge"},
        "spec": plugin,
    }
    assert faults(document) == []
    manifests.documents[manifests.documents.index(filter_)] = document


def test_a_plugin_cannot_capture_and_the_envoy_filter_can(
    world: Callable[..., World], authority: Authority, pod_identity: PodIdentity, started: list[Envoy]
) -> None:
    body = '{"id": "evt_1", "object": "event"}'
    with SqsSink(authority.server_context(SQS)) as sqs:
        manifests = Istio("gateway.yaml", "capture.yaml")
        as_a_plugin(manifests)
        assert post(capturing(started, manifests, world(sqs), pod_identity), body) == 408
        assert not sqs.requests

        envoy = capturing(started, Istio("gateway.yaml", "capture.yaml"), world(sqs), pod_identity)
        assert post(envoy, body) == 200
        (request,) = sqs.requests
        assert request.message["body"] == json.loads(body)
        assert request.attributes["verified"] == "true"
        assert is_right(request, pod_identity.mint.newest, "sqs")
        assert set(sqs.server_names) == {SQS}


def test_nothing_walks_around_the_filter(
    world: Callable[..., World], authority: Authority, pod_identity: PodIdentity, started: list[Envoy]
) -> None:
    with SqsSink(authority.server_context(SQS)) as sqs:
        envoy = capturing(started, Istio("gateway.yaml", "publish.yaml", "capture.yaml"), world(sqs), pod_identity)
        for path in ["/WEBHOOK", "/webhook/", "/x/..%2fwebhook/more", "/mockbin/../Webhook"]:
            assert post(envoy, "{}", path) == 503, path
            assert post(envoy, "{}", path, **{"content-type": "application/grpc"}) == 503, path
        assert send(envoy.address_of(LISTENER), "GET", "/webhook").status == 405
        assert not sqs.requests


def test_a_trap_is_over_with_the_next_requests(
    world: Callable[..., World], authority: Authority, pod_identity: PodIdentity
) -> None:
    with SnsSink(authority.server_context("sns.us-east-1.amazonaws.com")) as sns:
        config = Istio("gateway.yaml", "publish.yaml").envoy(world(sns, TRAPPING_WASM))
        with Envoy(config, pod_identity.environment) as envoy:
            trap(envoy, listener=LISTENER)
            wait_for(lambda: send(envoy.address_of(LISTENER), *MISSION_PUT).status == 200, "a VM")
            sns.wait_for_events(1)
