"""The worker example against a real SQS server: once, in order, and not lost when the handler fails."""

import json
from pathlib import Path
from typing import Any

import pytest
from queue_worker import Inbox, Worker
from rig.moto import Moto, Queue


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


def test_an_empty_queue_is_no_fault(moto: Moto, tmp_path: Path) -> None:
    queue = moto.create_queue()
    assert worker(moto, queue, Handled(), tmp_path / "inbox").drain_once(wait_seconds=0) == 0
