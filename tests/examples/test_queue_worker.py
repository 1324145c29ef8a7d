"""The worker example against a real SQS server: once, in order, and not lost when the handler fails."""

import json
import os
import signal
import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import queue_worker
from queue_worker import Inbox, Worker
from rig import PROJECT
from rig.moto import REGION, Moto, Queue
from rig.process import ServerProcess
from rig.waiting import wait_for


def event(event_id: str) -> dict[str, Any]:
    return {"event_id": event_id, "request": {"method": "PUT", "uri": "/mockbin/profile"}, "response": {"status": 200}}


class Handled(list[str]):
    """Ids of handled events; fails for those in `poison`."""

    poison: frozenset[str] = frozenset()

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event_id"] in self.poison:
            raise RuntimeError("as the test asked")
        self.append(event["event_id"])


def worker(moto: Moto, queue: Queue, handled: Handled, inbox: Path) -> Worker:
    return Worker(moto.client("sqs"), queue.url, Inbox(str(inbox)), handled)


def publish(moto: Moto, topic_arn: str, *event_ids: str) -> None:
    for event_id in event_ids:
        moto.client("sns").publish(TopicArn=topic_arn, Message=json.dumps(event(event_id)))


@pytest.mark.parametrize(
    "delivery", [{"RawMessageDelivery": "true"}, {"RawMessageDelivery": ""}], ids=["raw", "enveloped"]
)
def test_events_are_handled_and_deleted(moto: Moto, tmp_path: Path, delivery: dict[str, str]) -> None:
    topic_arn = moto.create_topic()
    queue = moto.subscribe_queue(topic_arn, **delivery)
    publish(moto, topic_arn, "a", "b")
    handled = Handled()
    assert worker(moto, queue, handled, tmp_path / "inbox").drain_once(wait_seconds=1) == 2
    assert sorted(handled) == ["a", "b"]
    assert moto.messages_left(queue) == 0


def test_an_event_is_handled_once_even_by_another_worker(moto: Moto, tmp_path: Path) -> None:
    topic_arn = moto.create_topic()
    queue = moto.subscribe_queue(topic_arn)
    publish(moto, topic_arn, "a", "a")
    handled = Handled()
    worker(moto, queue, handled, tmp_path / "inbox").drain_once(wait_seconds=1)
    publish(moto, topic_arn, "a", "b")
    worker(moto, queue, handled, tmp_path / "inbox").drain_once(wait_seconds=1)
    assert handled == ["a", "b"]
    assert moto.messages_left(queue) == 0, "those seen before are deleted too"


def test_what_failed_stays_in_the_queue_and_is_new_when_it_comes_again(moto: Moto, tmp_path: Path) -> None:
    topic_arn = moto.create_topic()
    queue = moto.subscribe_queue(topic_arn)
    moto.client("sqs").set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "0"})
    publish(moto, topic_arn, "poison", "b")
    moto.client("sqs").send_message(QueueUrl=queue.url, MessageBody="not JSON")
    handled = Handled()
    handled.poison = frozenset({"poison"})
    drain = worker(moto, queue, handled, tmp_path / "inbox")
    drain.drain_once(wait_seconds=1)
    assert handled == ["b"]
    assert moto.messages_left(queue) == 2

    handled.poison = frozenset()
    drain.drain_once(wait_seconds=1)
    assert handled == ["b", "poison"]
    assert moto.messages_left(queue) == 1, "for the dead-letter queue"


def test_a_failure_holds_up_its_group_and_no_other(moto: Moto, tmp_path: Path) -> None:
    queue = moto.create_queue(fifo=True)
    sqs = moto.client("sqs")
    for event_id, group in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b")):
        body = json.dumps(event(event_id))
        sqs.send_message(QueueUrl=queue.url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=event_id)
    handled = Handled()
    handled.poison = frozenset({"a1"})
    drain = worker(moto, queue, handled, tmp_path / "inbox")
    while drain.drain_once(wait_seconds=0):
        pass
    assert handled == ["b1", "b2"]
    assert moto.messages_left(queue) == 2


@pytest.mark.parametrize("body", ["null", "5", "[]", "{}", '{"event_id": 5}', '{"event_id": "' + "x" * 300 + '"}', "[" * 50_000])
def test_what_is_no_event_is_for_the_dead_letter_queue(moto: Moto, tmp_path: Path, body: str) -> None:
    queue = moto.create_queue()
    for text in (body, json.dumps(event("a"))):
        moto.client("sqs").send_message(QueueUrl=queue.url, MessageBody=text)
    handled = Handled()
    worker(moto, queue, handled, tmp_path / "inbox").drain_once(wait_seconds=1)
    assert handled == ["a"]
    assert moto.messages_left(queue) == 1


class Failing:
    """A client of SQS whose next calls of some methods fail."""

    def __init__(self, client: Any, **failures: int):
        self._client = client
        self._failures = failures

    def __getattr__(self, name: str) -> Any:
        if self._failures.get(name):
            self._failures[name] -= 1
            raise OSError("as the test asked")
        return getattr(self._client, name)


def test_calls_that_fail_end_nothing_and_repeat_nothing(
    moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_worker, "_MOST_SECONDS_BETWEEN_TRIES", 0.1)
    queue = moto.create_queue(VisibilityTimeout="1")
    moto.client("sqs").send_message(QueueUrl=queue.url, MessageBody=json.dumps(event("a")))
    handled = Handled()
    sqs = Failing(moto.client("sqs"), receive_message=3, delete_message=1)
    drain = Worker(sqs, queue.url, Inbox(str(tmp_path / "inbox")), handled)
    stopper = threading.Thread(target=lambda: (wait_for(lambda: moto.messages_left(queue) == 0, "it"), drain.stop()))
    stopper.start()
    drain.run(wait_seconds=0)
    stopper.join(20)
    assert handled == ["a"]


def test_what_is_begun_too_late_is_left_to_come_again(
    moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1_000.0]
    monkeypatch.setattr(queue_worker.time, "monotonic", lambda: clock[0])
    queue = moto.create_queue()
    for name in ("a", "b", "c"):
        moto.client("sqs").send_message(QueueUrl=queue.url, MessageBody=json.dumps(event(name)))
    handled: list[str] = []

    def slow(event: dict[str, Any]) -> None:
        clock[0] += 0.8 * queue_worker._SECONDS_TO_BEGIN
        handled.append(event["event_id"])

    Worker(moto.client("sqs"), queue.url, Inbox(str(tmp_path / "inbox")), slow).drain_once(wait_seconds=1)
    assert len(handled) == 2 and moto.messages_left(queue) == 1


def test_an_inbox_forgets_and_reads_on_what_one_of_before_has_written(tmp_path: Path) -> None:
    path = str(tmp_path / "inbox")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE done (event_id TEXT PRIMARY KEY)")
        database.execute("INSERT INTO done VALUES ('before')")
    inbox, handled = Inbox(path, remembered_seconds=1), Handled()
    assert [inbox.handle_once(event(name), handled) for name in ("before", "a", "a")] == [False, True, False]
    time.sleep(1.1)
    assert [inbox.handle_once(event(name), handled) for name in ("a", "before")] == [True, True]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM done").fetchone() == (2,)


def test_sigterm_ends_it_when_what_is_begun_is_done(moto: Moto, tmp_path: Path) -> None:
    queue = moto.create_queue()
    for number in range(10):
        moto.client("sqs").send_message(QueueUrl=queue.url, MessageBody=json.dumps(event(f"e{number}")))
    script = (
        "import sys, time; sys.path.insert(0, sys.argv.pop(1)); import queue_worker; show = queue_worker.show;"
        "queue_worker.show = lambda event: (show(event), time.sleep(0.3)); queue_worker.main()"
    )
    command = [sys.executable, "-c", script, str(PROJECT / "examples"), "--queue-url", queue.url]
    environment = {**moto.administrator.environment(), "AWS_ENDPOINT_URL": moto.url, "AWS_DEFAULT_REGION": REGION}
    with ServerProcess([*command, "--inbox", str(tmp_path / "inbox")], tmp_path / "log", environment) as process:
        process.wait_for_log("event e")
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait_for_exit() == 0
        begun = process.log().count("event e")
    assert begun < 10 and moto.messages_left(queue) == 10 - begun, "what was begun is deleted, the rest is there"


def test_an_empty_queue_is_no_fault(moto: Moto, tmp_path: Path) -> None:
    queue = moto.create_queue()
    assert worker(moto, queue, Handled(), tmp_path / "inbox").drain_once(wait_seconds=0) == 0
