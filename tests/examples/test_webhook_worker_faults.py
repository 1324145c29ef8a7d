"""The webhook worker when things go wrong around it: calls and handlers that hang, forged webhooks, poison, a lost database."""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_client import client
from redrive import Redrive
from rig import PROJECT
from rig.moto import REGION, Moto, Queue
from rig.process import ServerProcess
from rig.waiting import wait_for
from rig.webhooks import captured, put
from webhook_inbox import Claim, Inbox, Taken
from webhook_worker import Worker, bounds

StartWorker = Callable[..., Worker]
Handler = Any

IS_FIFO = pytest.mark.parametrize("fifo", ["false", "true"], ids=["standard", "fifo"])


def stack_of(moto: Moto, fifo: str = "false") -> tuple[Queue, Queue, Queue]:
    """The queue, that of dead letters, and that of what is not verified."""
    stack = moto.create_stack(PROJECT / "deploy" / "capture.yaml", Fifo=fifo)
    return tuple(Queue(stack[name], "") for name in ("QueueUrl", "DeadLetterQueueUrl", "UnverifiedQueueUrl"))


def send(moto: Moto, queue: Queue, body: str, group: str = "a") -> None:
    """As the gateway does, with what it says of the signature in an attribute as well."""
    verified = "false" if '"verified": false' in body or '"verified":false' in body else "true"
    fifo = {"MessageGroupId": group, "MessageDeduplicationId": f"{time.time_ns()}"} if queue.url.endswith(".fifo") else {}
    moto.client("sqs").send_message(
        QueueUrl=queue.url,
        MessageBody=body,
        MessageAttributes={"verified": {"DataType": "String", "StringValue": verified}},
        **fifo,
    )


def test_a_heartbeat_that_hangs_costs_its_own_message_alone(moto: Moto, handler: Handler, start: StartWorker, stub: Any) -> None:
    queue, sqs, gate = moto.create_queue(), moto.client("sqs"), threading.Event()
    hanging: set[str] = set()

    def receive(**arguments: Any) -> Any:
        reply = sqs.receive_message(**arguments)
        hanging.update(each["ReceiptHandle"] for each in reply.get("Messages", []) if "evt_hang" in each["Body"])
        return reply

    def change(**arguments: Any) -> Any:
        if arguments["ReceiptHandle"] in hanging:
            gate.wait(30)
        return sqs.change_message_visibility(**arguments)

    handler.slow = {"evt_hang", "evt_1", "evt_2"}
    put(moto, queue, "evt_hang", "evt_1", "evt_2")
    worker = start(
        queue, sqs=stub(sqs, receive_message=receive, change_message_visibility=change), concurrency=3, visibility_seconds=2
    )
    wait_for(lambda: handler.at_once == 3, "all to be begun")
    others, seen = moto.client("sqs"), []
    end = time.monotonic() + 5
    while time.monotonic() < end:
        found = others.receive_message(QueueUrl=queue.url, WaitTimeSeconds=1, VisibilityTimeout=1).get("Messages", [])
        seen += [json.loads(message["Body"])["id"] for message in found]
    assert set(seen) == {"evt_hang"}, "the others stay this worker's"
    gate.set()
    handler.gate.set()
    wait_for(lambda: moto.messages_left(queue) == 0, "all to be done")
    assert handler.begun == {"evt_hang": 1, "evt_1": 1, "evt_2": 1}
    worker.stop()


def test_a_call_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        sqs = client("sqs", "http://127.0.0.1/1/q", bounds(concurrency=1, seconds=0.5))
        begin = time.monotonic()
        with pytest.raises(Exception, match="timeout|timed out"):
            sqs.change_message_visibility(QueueUrl="http://127.0.0.1/1/q", ReceiptHandle="x", VisibilityTimeout=9)
        assert time.monotonic() - begin < 4
        # The longest that one takes as it is shipped is less than the time between two heartbeats.
        settings = client("sqs", "http://127.0.0.1/1/q", bounds(concurrency=8)).meta.config
        longest = settings.retries["total_max_attempts"] * (settings.connect_timeout + settings.read_timeout) + 1
        assert longest < 90 / 3


def test_a_handler_that_hangs_keeps_its_thread_and_not_its_webhook(
    moto: Moto, handler: Handler, start: StartWorker, inbox: Inbox
) -> None:
    queue = moto.create_queue()
    handler.slow = {"evt_hang"}
    put(moto, queue, "evt_hang")
    start(queue, concurrency=2, handler_seconds=1, retry_seconds=1)
    wait_for(lambda: handler.begun["evt_hang"] == 1, "it to hang")
    handler.slow = set()
    put(moto, queue, "evt_1")
    wait_for(lambda: sorted(handler.done) == ["evt_1", "evt_hang"], "both to be done by the other thread")
    wait_for(lambda: moto.messages_left(queue) == 0, "both to be deleted")
    # The one that hung comes to its end after all: nothing is done again, and its thread is free
    # again.
    handler.gate.set()
    wait_for(lambda: handler.at_once == 0, "the first to end")
    assert inbox.claim("evt_hang", 0) is Taken.DONE
    handler.gate.clear()
    handler.slow = {"evt_2", "evt_3"}
    put(moto, queue, "evt_2", "evt_3")
    wait_for(lambda: handler.at_once == 2, "both threads to work")


def test_a_worker_all_of_whose_handlers_hang_ends_and_its_webhooks_are_anothers(moto: Moto, tmp_path: Path) -> None:
    queue = moto.create_queue()
    put(moto, queue, "evt_1", "evt_2")
    script = (
        "import sys, time; sys.path.insert(0, sys.argv.pop(1)); import webhook_worker;"
        "webhook_worker.show = lambda webhook: time.sleep(600); webhook_worker.main()"
    )
    command = [
        sys.executable, "-c", script, str(PROJECT / "examples"), "--queue-url", queue.url, "--wait-seconds", "1",
        "--concurrency", "2", "--handler-seconds", "1", "--retry-seconds", "0", "--inbox", str(tmp_path / "inbox"),
    ]  # fmt: skip
    environment = {**moto.administrator.environment(), "AWS_ENDPOINT_URL": moto.url, "AWS_DEFAULT_REGION": REGION}
    with ServerProcess(command, tmp_path / "worker.log", environment) as process:
        assert process.wait_for_exit(20) == 1, "so that it is started again"
        assert process.log().count("not handled within 1 s") == 2
    assert len(moto.receive(queue, 2)) == 2, "at once"


@IS_FIFO
def test_what_is_not_verified_is_set_aside_once_and_holds_up_nothing(
    moto: Moto, handler: Handler, start: StartWorker, inbox: Inbox, fifo: str
) -> None:
    queue, dead, unverified = stack_of(moto, fifo)
    forged = captured("evt_victim", '{"forged":true}', verified=False, verify_error="no signature matches")
    send(moto, queue, forged)
    send(moto, queue, captured("evt_victim", verified=True))
    start(queue, unverified_queue_url=unverified.url, retry_seconds=600, wait_seconds=0)
    wait_for(lambda: handler.done == ["evt_victim"], "the real one")
    wait_for(lambda: moto.messages_left(queue) == 0, "the queue to be empty")
    assert handler.begun == {"evt_victim": 1}
    assert moto.messages_left(dead) == 0, "it is no failure"

    # It waits in its place as it was, and is handled where somebody wants it to be.
    redrive = Redrive(moto.client("sqs"), dead.url, queue.url, wait_seconds=0)
    redrive.run()
    assert (redrive.moved, redrive.left, moto.messages_left(unverified)) == (0, 0, 1)
    (message,) = moto.receive(unverified, 1)
    assert message["Body"] == forged
    assert message["MessageAttributes"]["verified"]["StringValue"] == "false"
    send(moto, unverified, captured("evt_real", verified=False))
    start(unverified, accept_unverified=True, wait_seconds=0)
    wait_for(lambda: handler.done == ["evt_victim", "evt_real"], "it to be accepted there")


@IS_FIFO
@pytest.mark.parametrize("body", [captured("evt_forged", verified=False), "poison"], ids=["forged", "poison"])
def test_without_a_place_for_it_it_is_a_dead_letter_at_once_and_holds_up_nothing(
    moto: Moto, handler: Handler, start: StartWorker, fifo: str, body: str
) -> None:
    queue, dead, _ = stack_of(moto, fifo)
    send(moto, queue, body)
    send(moto, queue, captured("evt_good", verified=True))
    begin = time.monotonic()
    start(queue, retry_seconds=600, wait_seconds=0)
    wait_for(lambda: handler.done == ["evt_good"], "what follows it")
    wait_for(lambda: moto.messages_left(dead) == 1, "a dead letter")
    assert time.monotonic() - begin < 10
    assert handler.begun == {"evt_good": 1}


def test_without_a_dead_letter_queue_it_is_not_asked_for_all_the_time(
    moto: Moto, handler: Handler, start: StartWorker, stub: Any
) -> None:
    queue, sqs = moto.create_queue(), moto.client("sqs")
    received: list[str] = []

    def receive(**arguments: Any) -> Any:
        reply = sqs.receive_message(**arguments)
        received.extend(each["MessageId"] for each in reply.get("Messages", []))
        return reply

    put(moto, queue, "evt_forged", verified=False)
    start(queue, sqs=stub(sqs, receive_message=receive), retry_seconds=600, wait_seconds=0)
    wait_for(lambda: len(received) == 10, "some tries")
    time.sleep(1)
    assert len(received) == 10
    assert moto.messages_left(queue) == 1


def poison() -> list[str]:
    good = captured("evt_1")
    return [
        "", "null", "[]", "{", good[:-1], good + "{}", "[" * 100_000, "{" * 100_000, "9" * 5000, '"' + "x" * 900_000 + '"',
        good.replace('"path": "/webhook"', '"path": 5'),
        good.replace('"evt_1"', '""'),
        good.replace('"evt_1"', "5"),
        good.replace('"evt_1"', '"a\\nb"'),
        good.replace('"evt_1"', '"a\\u001b[2J"'),
        good.replace('"evt_1"', json.dumps("x" * 501)),
        captured("evt_1", verified="false"),
        captured("evt_1", verified=None),
        captured("evt_1", headers=["x"]),
        captured("evt_1", '"\\ud800"'),
        captured("evt_1", '"x"', encoding="base64"),
    ]  # fmt: skip


def test_poison_ends_in_the_dead_letter_queue_and_the_next_is_handled(
    moto: Moto, handler: Handler, start: StartWorker
) -> None:
    queue, dead, _ = stack_of(moto)
    bodies = [body for body in poison() if body]
    for body in bodies:
        send(moto, queue, body)
    send(moto, queue, captured("evt_good"))
    start(queue, retry_seconds=600, wait_seconds=0)
    wait_for(lambda: moto.messages_left(dead) == len(bodies) and moto.messages_left(queue) == 0, "all of them", timeout=60)
    assert handler.begun == {"evt_good": 1}


class Github:
    """What two hooks of one repository get of one event: one id, and bodies of their own."""

    def __init__(self, capture: str, hook: int):
        self.body = f'{{"hook":{hook}}}'
        self.sender_id = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
        self.id = f"{capture}:{self.sender_id}:{hook:064x}"


def new_form(webhook_id: str, body: str = "{}", sender_id: str | None = None, **changes: Any) -> str:
    """A message whose id is scoped: by the capture, the sender's id and, where that is not signed, the hash of the body."""
    said = {"sender_id": sender_id} if sender_id else {}
    return captured(webhook_id, body, **said, body_sha256="0" * 64, verified=True, **changes)


COLLIDING = {
    "two hooks of GitHub with one id": [
        new_form(hook.id, hook.body, hook.sender_id) for hook in (Github("github", 1), Github("github", 2))
    ],
    "one event of Stripe to two endpoints": [
        new_form(f"{capture}:evt_1", '{"id":"evt_1"}', "evt_1", path=f"/{capture}") for capture in ("orders", "billing")
    ],
    "one idempotency key of two senders": [new_form(f"{capture}:7:ab", sender_id="7") for capture in ("a", "b")],
    "equal bytes twice without an id": [new_form(f"orders:{number}", '{"a":1}') for number in range(2)],
    "messages of an older gateway": [captured(webhook_id, '{"a":1}') for webhook_id in ("evt_1", "evt_2")],
}


@IS_FIFO
@pytest.mark.parametrize("bodies", COLLIDING.values(), ids=COLLIDING.keys())
def test_webhooks_that_share_something_are_all_handled_and_a_retry_of_each_is_not(
    moto: Moto, handler: Handler, start: StartWorker, fifo: str, bodies: list[str]
) -> None:
    queue = moto.create_queue(fifo=fifo == "true")
    for body in (*bodies, *bodies):
        send(moto, queue, body)
    start(queue, wait_seconds=0, concurrency=1)
    wait_for(lambda: moto.messages_left(queue) == 0, "all of them")
    assert sorted(handler.done) == sorted(json.loads(body)["id"] for body in bodies)
    assert max(handler.begun.values()) == 1


def test_a_repetition_is_no_dead_letter_while_the_first_takes_long(moto: Moto, handler: Handler, start: StartWorker) -> None:
    queue, dead, _ = stack_of(moto)
    handler.slow = {"evt_1"}
    send(moto, queue, captured("evt_1"))
    send(moto, queue, captured("evt_1"))
    start(queue, visibility_seconds=1, handler_seconds=30, wait_seconds=0)
    time.sleep(6)
    assert (handler.begun["evt_1"], moto.messages_left(dead), moto.messages_left(queue)) == (1, 0, 2)


def test_while_the_inbox_is_away_nothing_becomes_a_dead_letter(
    moto: Moto, handler: Handler, start: StartWorker, inbox: Inbox, stub: Any
) -> None:
    queue, dead, _ = stack_of(moto)
    is_away, asked = True, 0

    def claim(webhook_id: str, seconds: float) -> Claim | Taken:
        nonlocal asked
        asked += 1
        if is_away:
            raise OSError("the database is away")
        return inbox.claim(webhook_id, seconds)

    webhook_ids = [f"evt_{number}" for number in range(20)]
    put(moto, queue, *webhook_ids)
    start(queue, inbox=stub(inbox, claim=claim), retry_seconds=1, wait_seconds=0)
    time.sleep(8)
    assert 8 < asked < 40, "it is probed, and not by every message"
    assert (handler.begun, moto.messages_left(queue), moto.messages_left(dead)) == ({}, 20, 0)
    is_away = False
    wait_for(lambda: moto.messages_left(queue) == 0, "all to be handled")
    assert sorted(handler.done) == sorted(webhook_ids)
    assert moto.messages_left(dead) == 0


@pytest.mark.parametrize("method", ["delete_message", "receive_message", "change_message_visibility"])
def test_calls_that_fail_cost_no_webhook_and_none_is_handled_twice(
    moto: Moto, handler: Handler, start: StartWorker, method: str, stub: Any
) -> None:
    queue, sqs = moto.create_queue(), moto.client("sqs")
    failures = 3

    def fail(**arguments: Any) -> Any:
        nonlocal failures
        if failures > 0:
            failures -= 1
            raise OSError("as the test asked")
        return getattr(sqs, method)(**arguments)

    webhook_ids = [f"evt_{number}" for number in range(8)]
    handler.slow = {"evt_0"}
    put(moto, queue, *webhook_ids)
    # Those whose deletion failed come again when their time is over, and are known then.
    start(queue, sqs=stub(sqs, **{method: fail}), visibility_seconds=3)
    wait_for(lambda: failures == 0, "the failures")
    handler.gate.set()
    wait_for(lambda: moto.messages_left(queue) == 0, "all to be deleted", timeout=30)
    assert handler.begun == dict.fromkeys(webhook_ids, 1)


def test_what_is_received_when_it_is_told_to_stop_goes_back_at_once(
    moto: Moto, handler: Handler, start: StartWorker, stub: Any
) -> None:
    queue, sqs = moto.create_queue(), moto.client("sqs")
    put(moto, queue, "evt_1", "evt_2")
    worker: Worker | None = None
    received = threading.Event()

    def receive(**arguments: Any) -> Any:
        reply = sqs.receive_message(**arguments)
        if reply.get("Messages"):
            wait_for(lambda: worker, "the worker")
            worker.stop()
            received.set()
        return reply

    worker = start(queue, sqs=stub(sqs, receive_message=receive))
    assert received.wait(10)
    assert len(moto.receive(queue, 2)) == 2
    assert handler.begun == {}


def test_a_handler_that_ends_its_thread_with_exit_fails_like_any_other(
    moto: Moto, start: StartWorker, inbox: Inbox
) -> None:
    queue, dead, _ = stack_of(moto)
    put(moto, queue, "evt_1")
    worker = Worker(moto.client("sqs"), queue.url, inbox, lambda _: sys.exit(3), retry_seconds=0, wait_seconds=0, concurrency=1)
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_for(lambda: moto.messages_left(dead) == 1, "a dead letter")
    worker.stop()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "options",
    [
        ["--unverified-queue-url", "http://127.0.0.1:9/1/u.fifo"],
        ["--unverified-queue-url", "http://127.0.0.1:9/1/u", "--accept-unverified"],
        ["--handler-seconds", "0"],
        ["--handler-seconds", "43200"],
    ],
)
def test_options_that_cannot_go_together_are_refused(tmp_path: Path, options: list[str]) -> None:
    script = str(PROJECT / "examples" / "webhook_worker.py")
    command = [sys.executable, script, "--queue-url", "http://127.0.0.1:9/1/q", *options]
    with ServerProcess(command, tmp_path / "log") as process:
        assert process.wait_for_exit() == 2
