"""Webhooks by the thousand: none is answered 2xx that is not in the queue, whatever the queue and the senders do; and what it costs
to wait for the queue.

RETROHOOK_WEBHOOKS sets how many there are in the first test (100,000 take some minutes). Rates and times are printed (`pytest -s`)
and not asserted: they are the machine's, which senders and queue share with the gateway.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import ANY_CREDENTIALS
from rig.sqs_sink import SqsSink, acknowledge, at_random
from rig.waiting import wait_for
from rig.crowd import Crowd, run_crowd

WEBHOOKS = int(os.environ.get("RETROHOOK_WEBHOOKS", "10000"))
SENDERS = 200
STRAIGHT = "straight"


@pytest.fixture
def envoy(wasm: Path, tmp_path: Path, queue: SqsSink) -> Iterator[Envoy]:
    config = EnvoyConfig("capture", wasm)
    config.aim_queue(queue.address, queue.url)
    config.configure(timeout_ms=5000, max_captures=SENDERS)
    config.add_listener_that_proxies(STRAIGHT, config.settings["capture"][0]["upstream"])
    with Envoy(config.write(tmp_path / "envoy.yaml"), ANY_CREDENTIALS.environment()) as running:
        yield running
        running.assert_no_trap()


def stored(queue: SqsSink) -> set[int]:
    return {int(message_id.removeprefix("w-")) for message_id in queue.message_ids}


def test_none_is_answered_that_is_not_in_the_queue(envoy: Envoy, queue: SqsSink) -> None:
    queue.answers = at_random(0.1)
    crowd = run_crowd(envoy.address_of(), "/webhook", WEBHOOKS, SENDERS, hang_ups=0.05)
    answered, in_queue = set(crowd.answers[200]), stored(queue)
    print(
        f"{WEBHOOKS} webhooks: {len(answered)} answered 200, {len(crowd.answers.get(503, []))} answered 503, "
        f"{len(crowd.hung_up)} hung up; {len(in_queue)} in the queue, {len(answered - in_queue)} of the answered ones are not; "
        f"{describe(crowd)}"
    )
    assert answered <= in_queue
    assert set(crowd.answers) <= {200, 503} and len(answered) > 0.85 * WEBHOOKS
    # Of those who hung up some did so while the answer was on its way.
    wait_for(lambda: metric(envoy, "stored") >= len(answered), "all answers to be counted")
    assert metric(envoy, "stored") <= len(answered) + len(crowd.hung_up)
    queue.answers = acknowledge
    wait_for(lambda: every_place_is_free(envoy), "the places of those who hung up")


def every_place_is_free(envoy: Envoy) -> bool:
    """As many as there are places can be taken at once."""
    return set(run_crowd(envoy.address_of(), "/webhook", SENDERS, SENDERS).answers) == {200}


def metric(envoy: Envoy, name: str) -> float:
    return envoy.metric(f"retrohook_captures_{name}_total")


def test_what_it_costs_to_wait_for_the_queue(envoy: Envoy, queue: SqsSink) -> None:
    for way, listener in (("captured", "gateway"), ("proxied straight to the queue", STRAIGHT)):
        crowd = run_crowd(envoy.address_of(listener), "/webhook", 5_000, SENDERS)
        print(f"{way}, {SENDERS} senders, bodies of 1 KB: {describe(crowd)}")
        assert len(crowd.answers[200]) == 5_000, crowd.answers.keys()
    assert len(stored(queue)) == 5_000


def describe(crowd: Crowd) -> str:
    return f"{crowd.rate:,.0f} a second, p50 {crowd.median_ms:.1f} ms, p99 {crowd.p99_ms:.1f} ms"
