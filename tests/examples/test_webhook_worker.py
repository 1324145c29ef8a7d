"""The webhook worker against a real SQS server: nothing lost, nothing twice, never more than it can work on."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redrive import Redrive
from rig import PROJECT
from rig.moto import REGION, Moto, Queue
from rig.process import ServerProcess
from rig.waiting import wait_for
from rig.webhooks import captured, put
from webhook_inbox import Inbox, Taken
from webhook_worker import Worker


StartWorker = Callable[..., Worker]
Handler = Any


def test_webhooks_are_handled_and_deleted(moto: Moto, handler: Handler, start: StartWorker) -> None:
    queue = moto.create_queue()
    webhook_ids = [f"evt_{number}" for number in range(25)]
    put(moto, queue, *webhook_ids)
    start(queue)
    wait_for(lambda: moto.messages_left(queue) == 0, "the queue to be empty")
    assert sorted(handler.done) == sorted(webhook_ids)


def test_what_fails_three_times_is_a_dead_letter_and_redriven_it_is_handled_once(
    moto: Moto, handler: Handler, start: StartWorker
) -> None:
    stack = moto.create_stack(PROJECT / "deploy" / "capture.yaml")
    queue, dead = Queue(stack["QueueUrl"], ""), Queue(stack["DeadLetterQueueUrl"], "")
    handler.poison = {"evt_poison"}
    put(moto, queue, "evt_poison", "evt_good")
    start(queue, wait_seconds=0)
    wait_for(lambda: moto.messages_left(dead) == 1, "a dead letter")
    assert handler.begun == {"evt_poison": 3, "evt_good": 1}
    assert moto.messages_left(queue) == 0

    handler.poison.clear()
    operator = moto.create_user(policy_arns=[stack["RedriverPolicyArn"]])
    redrive = Redrive(moto.client("sqs", operator), dead.url, queue.url, wait_seconds=0)
    redrive.run()
    assert (redrive.moved, redrive.failed) == (1, 0)
    wait_for(lambda: moto.messages_left(queue) == 0, "the redriven one to be done")
    assert handler.begun == {"evt_poison": 4, "evt_good": 1}
    assert sorted(handler.done) == ["evt_good", "evt_poison"]
    assert moto.messages_left(dead) == 0


def test_a_webhook_that_comes_twice_is_handled_once(moto: Moto, handler: Handler, start: StartWorker) -> None:
    queue = moto.create_queue()
    put(moto, queue, "evt_1", "evt_1")
    start(queue, concurrency=1)
    wait_for(lambda: moto.messages_left(queue) == 0, "both to be deleted")
    put(moto, queue, "evt_1", "evt_2")
    # Another worker of the same inbox.
    start(queue)
    wait_for(lambda: moto.messages_left(queue) == 0, "these to be deleted")
    assert handler.begun == {"evt_1": 1, "evt_2": 1}


def test_a_webhook_that_is_being_handled_is_not_begun_again_and_its_repetition_is_kept(
    moto: Moto, handler: Handler, start: StartWorker, capfd: pytest.CaptureFixture[str]
) -> None:
    queue = moto.create_queue()
    handler.slow = {"evt_1"}
    put(moto, queue, "evt_1", "evt_1")
    start(queue, visibility_seconds=3, handler_seconds=4)
    seen = ""

    def is_busy() -> bool:
        nonlocal seen
        seen += capfd.readouterr().out
        return "being handled: evt_1" in seen

    wait_for(is_busy, "the second to find it taken")
    assert moto.messages_left(queue) == 2
    handler.gate.set()
    wait_for(lambda: moto.messages_left(queue) == 0, "both to be deleted")
    assert handler.begun == {"evt_1": 1}


def test_a_slow_one_stays_the_worker_s_own(moto: Moto, handler: Handler, inbox: Inbox, start: StartWorker) -> None:
    queue = moto.create_queue()
    handler.slow = {"evt_slow"}
    put(moto, queue, "evt_slow")
    start(queue, visibility_seconds=2)
    wait_for(lambda: handler.begun["evt_slow"], "it to be begun")
    others = moto.client("sqs")
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        # The server waits a second for one.
        assert not others.receive_message(QueueUrl=queue.url, WaitTimeSeconds=1).get("Messages")
    assert inbox.claim("evt_slow", 0) is Taken.BUSY
    handler.gate.set()
    wait_for(lambda: moto.messages_left(queue) == 0, "it to be deleted")
    assert handler.begun == {"evt_slow": 1}


def test_what_a_dead_worker_had_is_another_s_soon(moto: Moto, handler: Handler, inbox: Inbox, start: StartWorker) -> None:
    queue = moto.create_queue()
    put(moto, queue, "evt_1")
    # A worker that has received it and claimed it, and then is no more.
    assert moto.client("sqs").receive_message(QueueUrl=queue.url, VisibilityTimeout=2)["Messages"]
    inbox.claim("evt_1", 1.8)
    start(queue)
    wait_for(lambda: moto.messages_left(queue) == 0, "the other to do it")
    assert handler.done == ["evt_1"]


@pytest.mark.parametrize("concurrency", [1, 3, 12])
def test_it_takes_no_more_than_it_can_work_on(
    moto: Moto, handler: Handler, start: StartWorker, concurrency: int
) -> None:
    queue = moto.create_queue()
    webhook_ids = [f"evt_{number}" for number in range(15)]
    handler.slow = set(webhook_ids)
    put(moto, queue, *webhook_ids)
    start(queue, concurrency=concurrency)
    wait_for(lambda: handler.at_once == concurrency, "all threads to be busy")
    names = ["ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessages"]
    found = moto.client("sqs").get_queue_attributes(QueueUrl=queue.url, AttributeNames=names)["Attributes"]
    assert [int(found[name]) for name in names] == [concurrency, 15 - concurrency], "the rest is for others"
    handler.gate.set()
    wait_for(lambda: moto.messages_left(queue) == 0, "all to be done")
    assert handler.most_at_once == concurrency
    assert sorted(handler.done) == sorted(webhook_ids)


def test_a_group_of_a_fifo_queue_keeps_its_order_and_holds_up_no_other(
    moto: Moto, handler: Handler, start: StartWorker
) -> None:
    queue = moto.create_queue(fifo=True)
    handler.slow = {"a1"}
    put(moto, queue, "a1", "a2", "a3", group="a")
    put(moto, queue, "b1", "b2", group="b")
    start(queue, wait_seconds=0)
    wait_for(lambda: handler.done == ["b1", "b2"], "the other group")
    assert handler.begun["a1"] == 1 and not handler.begun["a2"]
    handler.gate.set()
    wait_for(lambda: moto.messages_left(queue) == 0, "all to be done")
    assert handler.done == ["b1", "b2", "a1", "a2", "a3"]


def test_what_is_not_verified_or_not_understood_is_not_handled_and_not_lost(
    moto: Moto, handler: Handler, start: StartWorker
) -> None:
    queue = moto.create_queue()
    put(moto, queue, "evt_forged", verified=False, verify_error="no signature fits")
    moto.client("sqs").send_message(QueueUrl=queue.url, MessageBody="not a webhook")
    put(moto, queue, "evt_signed", verified=True)
    worker = start(queue, retry_seconds=60)
    wait_for(lambda: handler.done == ["evt_signed"] and moto.messages_left(queue) == 2, "the good one")
    worker.stop()
    assert handler.begun == {"evt_signed": 1}


def test_who_wants_handles_what_is_not_verified(moto: Moto, handler: Handler, start: StartWorker) -> None:
    queue = moto.create_queue()
    put(moto, queue, "evt_1", verified=False)
    start(queue, accept_unverified=True)
    wait_for(lambda: handler.done == ["evt_1"], "it to be handled")


def test_what_takes_longer_than_the_grace_goes_back_at_once(
    moto: Moto, handler: Handler, inbox: Inbox, start: StartWorker
) -> None:
    queue = moto.create_queue()
    handler.slow = {"evt_slow"}
    put(moto, queue, "evt_slow", "evt_quick")
    worker = start(queue, grace_seconds=0.1)
    wait_for(lambda: handler.begun["evt_slow"] and handler.done == ["evt_quick"], "both to be begun")
    worker.stop()
    (message,) = wait_for(
        lambda: moto.client("sqs").receive_message(QueueUrl=queue.url, VisibilityTimeout=0).get("Messages"), "it to be back"
    )
    assert message["Body"] == captured("evt_slow")
    # The thread still runs, as it would until the process ends; what it has done then is not done
    # again.
    handler.gate.set()
    wait_for(lambda: inbox.claim("evt_slow", 0) is Taken.DONE, "the thread to end")
    start(queue)
    wait_for(lambda: moto.messages_left(queue) == 0, "the next worker to delete it")
    assert handler.begun["evt_slow"] == 1


class WorkerProcess(ServerProcess):
    """examples/webhook_worker.py, as its users run it."""

    def __init__(self, moto: Moto, queue: Queue, policy_arns: list[str], log_path: Path, *options: str):
        keys = moto.create_user(policy_arns=policy_arns).environment()
        super().__init__(
            [
                sys.executable, str(PROJECT / "examples" / "webhook_worker.py"),
                "--queue-url", queue.url,
                "--wait-seconds", "1",
                *options,
            ],
            log_path,
            {**keys, "AWS_ENDPOINT_URL": moto.url, "AWS_DEFAULT_REGION": REGION},
        )  # fmt: skip


def test_sigterm_loses_nothing(moto: Moto, tmp_path: Path) -> None:
    stack = moto.create_stack(PROJECT / "deploy" / "capture.yaml", InboxTable="true")
    queue = Queue(stack["QueueUrl"], "")
    policies = [stack["ReaderPolicyArn"], stack["InboxPolicyArn"]]
    webhook_ids = [f"evt_{number}" for number in range(100)]
    put(moto, queue, *webhook_ids)
    shown = ""
    for number in range(2):
        log_path = tmp_path / f"worker-{number}.log"
        with WorkerProcess(moto, queue, policies, log_path, "--inbox-table", stack["InboxTableName"]) as worker:
            worker.wait_for_log("webhook evt_")
            if number == 1:
                wait_for(lambda: moto.messages_left(queue) == 0, "the rest to be done", timeout=60)
            os.kill(worker.pid, signal.SIGTERM)
            assert worker.wait_for_exit() == 0
        assert (moto.messages_left(queue) > 0) == (number == 0), "the first one ended in the middle of its work"
        assert worker.log().endswith("stopped\n")
        shown += worker.log()
    handled = [line.split()[1] for line in shown.splitlines() if line.startswith("webhook ")]
    assert sorted(handled) == sorted(webhook_ids)
