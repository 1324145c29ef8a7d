"""The end of an Envoy: what is not delivered by then is in the log, and the command that a Kubernetes preStop runs waits until
nothing is left to lose.
"""

import json
import re
import subprocess

import pytest
from rig import PROJECT
from rig.envoy import Envoy
from rig.gateway import StartGateway
from rig.load import run_load
from rig.sns_answers import error, in_turn, slow
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

pytestmark = pytest.mark.own_process

QUEUED = "retrohook_queued_entries"


def letters(envoy: Envoy) -> list[dict]:
    """The dead letters in the log. In production, examples of the documentation read them."""
    return [
        json.loads(text) for text in re.findall(r"retrohook-dead-letter (\{.*\}) retrohook-end$", envoy.log(), re.MULTILINE)
    ]


def test_every_event_is_in_the_topic_or_in_a_letter_when_the_process_ends(
    start_gateway: StartGateway, sink: SnsSink, way: str
) -> None:
    # Some are delivered, some are in flight, most are queued.
    sink.answers = in_turn([slow(0)] * 40, then=slow(60))
    envoy = start_gateway(way, sink.address, workers=2, timeout_ms=60_000)
    count = 5_000
    assert run_load(envoy.address_of(), "PUT", "/mockbin/profile", count, 2_500).statuses == {200: count}
    wait_for(lambda: envoy.metric("retrohook_events_matched_total") == count, "all events to be counted")

    envoy.stop()
    assert envoy.exit_code == 0

    written = letters(envoy)
    assert {letter["reason"] for letter in written} == {"shutdown"}
    ids = [letter["id"] for letter in written]
    assert len(set(ids)) == len(ids)
    print(f"{way}: {len(sink.stored)} in the topic, {len(ids)} in letters, {len(sink.stored.keys() & set(ids))} in both")
    marks = {int(re.search(r"mark=(\d+)", letter["message"])[1]) for letter in written}
    assert sink.marks | marks == set(range(count))
    assert len(ids) > count / 2


PRE_STOP = re.compile(r"```sh\n# preStop\n(.*?)```", re.DOTALL)


def pre_stop(envoy: Envoy, seconds: int) -> subprocess.CompletedProcess[str]:
    """Runs the command of the documentation; what differs from there is the address of the admin interface and the time."""
    command = PRE_STOP.search((PROJECT / "docs" / "guides" / "production.md").read_text())[1]
    assert "127.0.0.1:9901" in command and "seconds=25" in command
    command = command.replace("127.0.0.1:9901", "{}:{}".format(*envoy.admin)).replace("seconds=25", f"seconds={seconds}")
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)


def test_the_pre_stop_command_waits_until_the_queues_are_empty(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    sink.answers = in_turn([slow(0.5)] * 12, then=slow(0))
    envoy = start_gateway(way, sink.address, workers=2, max_in_flight=1)
    count = 500
    assert run_load(envoy.address_of(), "PUT", "/mockbin/profile", count, 2_500).statuses == {200: count}

    done = pre_stop(envoy, 25)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(sink.marks) == count
    envoy.stop()
    assert letters(envoy) == []


@pytest.mark.parametrize("way", ["access-logger"])
def test_the_pre_stop_command_gives_up_in_time(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    sink.answers = error(503)
    envoy = start_gateway(way, sink.address)
    assert run_load(envoy.address_of(), "PUT", "/mockbin/profile", 50, 500).statuses == {200: 50}
    wait_for(lambda: envoy.metric(QUEUED) == 50, "all events to be queued")
    done = pre_stop(envoy, 2)
    assert done.returncode == 0
    assert "50 event(s) left" in done.stdout
    envoy.stop()
    assert len(letters(envoy)) == 50
