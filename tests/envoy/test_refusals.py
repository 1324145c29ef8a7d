"""What refuses the caller or the target, whatever the event: nothing is lost, little is sent, and once it is mended all arrives."""

import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from rig.egress import Egress, Refusals, each_entry, html, worded
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import StartGateway
from rig.http import send
from rig.load import run_load
from rig.moto import REGION, Moto, Queue
from rig.sns_answers import acknowledge, error
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

EVENTS = 100
PUBLISHED = "retrohook_events_published_total"
REFUSED_TARGETS = "retrohook_targets_refused"
QUEUED = "retrohook_queued_entries"
ALL_ACTIONS = ["sns:Publish", "sqs:SendMessage", "events:PutEvents"]

# Calls under way at once (the default), for each of which a batch may be split into ten.
AT_ONCE = 4

# By what is refused. Those of one group are tried at once, because most of a trial is waiting for a probe.
REFUSALS: dict[str, dict[str, Refusals]] = {
    "caller": {
        "rights": worded(403, "AccessDeniedException"),
        "rights, as SNS has it": worded(403, "AuthorizationError"),
        "secret": worded(403, "SignatureDoesNotMatch"),
        "unknown keys": worded(403, "InvalidClientTokenId"),
    },
    "target": {
        "no such target": worded(404, "NotFoundException"),
        "key": worded(400, "KMSDisabledException"),
        "key, as SQS has it": worded(400, "KMS.AccessDeniedException"),
        "each entry for its key": each_entry("KMSAccessDenied"),
    },
    "something else": {
        "an unknown code": worded(400, "BrandNewException"),
        "a proxy's 403": html(403),
        "a proxy's 407": html(407),
    },
}


class Targets:
    """A topic, a queue and a bus, each with a queue in which what it took arrives."""

    def __init__(self, moto: Moto):
        self._moto = moto
        topic, queue, bus = moto.create_topic(), moto.create_queue(), moto.create_bus()
        self.names = {"topic": topic, "queue": queue.url, "bus": bus}
        self._ends: dict[str, Queue] = {
            "topic": moto.subscribe_queue(topic), "queue": queue, "bus": moto.follow(bus, {"source": ["retrohook"]}),
        }  # fmt: skip
        self.settings: dict[str, object] = {
            "topic_arn": topic,
            "endpoint": moto.url,
            # A call that moto answers late, on a busy machine, would be sent once more.
            "timeout_ms": 30_000,
            "routes": [
                {"method": "PUT", "matcher": "/topic/profile"},
                {"method": "PUT", "matcher": "/queue/profile", "queue_url": queue.url, "region": REGION},
                {"method": "PUT", "matcher": "/bus/profile", "event_bus": bus, "endpoint": moto.url},
            ],
        }

    def received(self, kind: str) -> Counter[str]:
        """The marks of the events that arrived."""
        bodies = [json.loads(message["Body"]) for message in self._moto.receive(self._ends[kind], EVENTS)]
        events = [body.get("detail", body) for body in bodies]
        return Counter(event["request"]["querystring"]["n"] for event in events)


def put_to_each(envoy: Envoy) -> None:
    for number in range(EVENTS):
        for kind in ["topic", "queue", "bus"]:
            assert send(envoy.address_of(), "PUT", f"/mockbin/{kind}/profile?n={number}").status == 200


def assert_all_arrive(envoy: Envoy, targets: Targets) -> None:
    expected = Counter({str(number): 1 for number in range(EVENTS)})
    for kind in targets.names:
        assert targets.received(kind) == expected, kind
    wait_for(lambda: envoy.metric(PUBLISHED) == 3 * EVENTS, "the metric")
    wait_for(lambda: envoy.metric(REFUSED_TARGETS) == 0, "the gauge")
    lost = {name: value for name, value in envoy.metrics().items() if "dropped" in name and value}
    assert lost == {}
    assert "retrohook-dead-letter" not in envoy.log()


def assert_all_are_held(envoy: Envoy, targets: Targets, egress: Egress, name: str, since: float) -> None:
    wait_for(lambda: envoy.metric(REFUSED_TARGETS) == 3, f"all to refuse: {name}")
    for target in targets.names.values():
        # The metric may be seen before the line.
        lines = wait_for(
            lambda target=target: [line for line in envoy.log().splitlines() if f"calls to {target} are refused" in line],
            f"a line about {target}",
        )
        assert len(lines) == 1 and "error" in lines[0], lines
    wait_for(lambda: envoy.metric(QUEUED) == 3 * EVENTS, f"all to be held: {name}")
    refused = envoy.metric("retrohook_refused_calls_total")
    # On a busy machine the first probes may be among them: each target has one in five seconds.
    probes = 3 * int((time.monotonic() - since) / 5)
    most = 3 * AT_ONCE + 3 * AT_ONCE * (name == "an unknown code") + probes
    assert 3 <= refused <= egress.refused <= most, name


@pytest.mark.parametrize("group", REFUSALS)
def test_whatever_is_refused_arrives_when_that_is_mended(start_gateway: StartGateway, moto: Moto, group: str) -> None:
    host, port = moto.address
    with ExitStack() as running:
        trials: list[tuple[str, Envoy, Targets, Egress]] = []
        for name, refusal in REFUSALS[group].items():
            targets, egress = Targets(moto), running.enter_context(Egress(moto.address))
            egress.refusal = refusal

            def reach(config: EnvoyConfig, egress: Egress = egress) -> None:
                config.add_cluster(f"{host}:{port}", egress.address)

            keys = moto.create_user(ALL_ACTIONS)
            envoy = start_gateway("http-filter", egress.address, keys, adjust=reach, **targets.settings)
            since = time.monotonic()
            put_to_each(envoy)
            assert_all_are_held(envoy, targets, egress, name, since)
            trials.append((name, envoy, targets, egress))
        for _, _, _, egress in trials:
            egress.refusal = None
        for name, envoy, targets, egress in trials:
            assert_all_arrive(envoy, targets)
            again = 10 * AT_ONCE if name == "an unknown code" else 5
            assert egress.passed <= 3 * (EVENTS / 10 + again), (name, egress.passed)
            print(f"{name}: {egress.refused} calls refused, {egress.passed} for {3 * EVENTS} events")


@pytest.mark.parametrize("way", ["http-filter", "access-logger"])
def test_what_a_policy_forbids_arrives_when_the_policy_is_mended(
    start_gateway: StartGateway, moto: Moto, way: str
) -> None:
    targets = Targets(moto)
    user = moto.create_user(["sqs:ReceiveMessage"])
    host, port = moto.address
    adjust: Callable[[EnvoyConfig], None] = lambda config: config.add_cluster(f"{host}:{port}", moto.address)
    envoy = start_gateway(way, moto.address, user, adjust=adjust, **targets.settings)
    put_to_each(envoy)
    wait_for(lambda: envoy.metric(REFUSED_TARGETS) == 3, "all to refuse")
    wait_for(lambda: envoy.metric(QUEUED) == 3 * EVENTS, "all to be held")
    calls = envoy.metric("retrohook_callouts_error_total")
    assert calls <= 3 * AT_ONCE
    moto.allow(user, ALL_ACTIONS)
    assert_all_arrive(envoy, targets)


def test_a_backlog_outlives_a_refusal(start_gateway: StartGateway, sink: SnsSink) -> None:
    """5,000 events, which took less than 3 s to be burnt where each refusal was taken for one of the events."""
    count = 5_000
    sink.answers = error(403, "AuthorizationError")
    envoy = start_gateway("http-filter", sink.address)
    assert run_load(envoy.address_of(), "PUT", "/mockbin/profile", count, 1_000).statuses == {200: count}
    wait_for(lambda: envoy.metric(QUEUED) == count, "all to be held")
    calls = sink.request_count
    assert calls <= AT_ONCE + 3, "a probe every 5 s at most, in the 5 s that the load took"
    assert envoy.metric("retrohook_events_dropped_refused_total") == 0
    sink.answers = acknowledge
    sink.wait_for_events(count)
    assert sink.marks == set(range(count)) and set(sink.stored.values()) == {1}
    print(f"{count} events, {calls} calls while they were refused, {sink.request_count - calls} then")
