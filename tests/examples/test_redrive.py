"""Redriving: a dead letter is back in its queue, whatever happens on the way, and none goes round and round."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import redrive
from redrive import Redrive
from rig.moto import Credentials, Moto, Queue
from rig.webhooks import captured, put


@pytest.fixture
def dead(moto: Moto) -> Queue:
    return moto.create_queue()


@pytest.fixture
def queue(moto: Moto) -> Queue:
    return moto.create_queue()


def bodies(moto: Moto, queue: Queue, count: int) -> list[str]:
    return sorted(message["Body"] for message in moto.receive(queue, count))


def test_all_are_moved_with_their_attributes(moto: Moto, dead: Queue, queue: Queue) -> None:
    put(moto, dead, *(f"evt_{number}" for number in range(12)))
    run = Redrive(moto.client("sqs"), dead.url, queue.url, wait_seconds=0)
    run.run()
    assert (run.moved, run.failed, moto.messages_left(dead)) == (12, 0, 0)
    messages = moto.receive(queue, 12)
    assert {message["Body"] for message in messages} == {captured(f"evt_{number}") for number in range(12)}
    for message in messages:
        attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
        assert attributes["source"] == "webhook" and f'"{attributes["id"]}"' in message["Body"]


def test_a_limit_leaves_the_rest_as_it_is(moto: Moto, dead: Queue, queue: Queue) -> None:
    put(moto, dead, "evt_1", "evt_2", "evt_3")
    run = Redrive(moto.client("sqs"), dead.url, queue.url, wait_seconds=0)
    run.run(limit=2)
    assert (run.moved, moto.messages_left(queue)) == (2, 2)
    assert len(moto.receive(dead, 1)) == 1, "at once"


def test_a_fifo_queue_gets_what_it_has_seen_within_five_minutes(moto: Moto) -> None:
    queue, dead = moto.create_queue(fifo=True), moto.create_queue(fifo=True)
    for each in (queue, dead):
        put(moto, each, "evt_1", "evt_2", group="a")
    Redrive(moto.client("sqs"), dead.url, queue.url, wait_seconds=0).run()
    messages = moto.receive(queue, 4)
    assert [message["Body"] for message in messages] == [captured(name) for name in ["evt_1", "evt_2"] * 2]
    assert {message["Attributes"]["MessageGroupId"] for message in messages} == {"a"}


def test_what_cannot_be_sent_stays_and_holds_up_no_other(moto: Moto, dead: Queue, queue: Queue, stub: Any) -> None:
    sqs = moto.client("sqs")
    put(moto, dead, "evt_1", "evt_2", "evt_3")

    def send(**arguments: Any) -> Any:
        if "evt_2" in arguments["MessageBody"]:
            raise sqs.exceptions.ClientError({"Error": {"Code": "InternalFailure"}}, "SendMessage")
        return sqs.send_message(**arguments)

    run = Redrive(stub(sqs, send_message=send), dead.url, queue.url, wait_seconds=0)
    run.run()
    assert (run.moved, run.failed) == (2, 1)
    assert bodies(moto, queue, 2) == [captured("evt_1"), captured("evt_3")]
    assert moto.messages_left(dead) == 1


def test_what_cannot_be_sent_holds_up_its_group(moto: Moto, stub: Any) -> None:
    queue, dead = moto.create_queue(fifo=True), moto.create_queue(fifo=True)
    put(moto, dead, "a1", "a2", group="a")
    put(moto, dead, "b1", group="b")
    sqs = moto.client("sqs")

    def send(**arguments: Any) -> Any:
        if "a1" in arguments["MessageBody"]:
            raise sqs.exceptions.ClientError({"Error": {"Code": "InternalFailure"}}, "SendMessage")
        return sqs.send_message(**arguments)

    run = Redrive(stub(sqs, send_message=send), dead.url, queue.url, wait_seconds=0)
    run.run()
    assert (run.moved, run.failed) == (1, 2)
    assert bodies(moto, queue, 1) == [captured("b1")]


def test_when_it_is_killed_between_sending_and_deleting_the_message_is_in_both(
    moto: Moto, dead: Queue, queue: Queue, stub: Any
) -> None:
    put(moto, dead, "evt_1")

    def killed(**_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Redrive(stub(moto.client("sqs"), delete_message=killed), dead.url, queue.url, wait_seconds=0).run()
    assert (moto.messages_left(dead), moto.messages_left(queue)) == (1, 1)


def test_what_fails_again_at_once_is_not_moved_again(moto: Moto, queue: Queue) -> None:
    # A worker that fails at everything, so fast that nothing is ever seen in its queue.
    put(moto, queue, "evt_1", "evt_2")
    run = Redrive(moto.client("sqs"), queue.url, queue.url, wait_seconds=0)
    run.run()
    assert (run.moved, moto.messages_left(queue)) == (2, 2)


@pytest.mark.parametrize("unverified", [False, True])
def test_what_is_not_verified_and_what_failed_are_not_moved_together(
    moto: Moto, dead: Queue, queue: Queue, unverified: bool
) -> None:
    sqs = moto.client("sqs")
    for number in range(10):
        said = {"verified": {"DataType": "String", "StringValue": "false" if number < 4 else "true"}}
        sqs.send_message(QueueUrl=dead.url, MessageBody=captured(f"evt_{number}"), MessageAttributes=said)
    put(moto, dead, "evt_of_a_gateway_that_checks_nothing")
    run = Redrive(sqs, dead.url, queue.url, wait_seconds=0, unverified=unverified)
    run.run()
    assert (run.moved, run.failed, run.left) == ((4, 0, 7) if unverified else (7, 0, 4))
    moved = {message["Body"] for message in moto.receive(queue, run.moved)}
    assert (captured("evt_0") in moved, captured("evt_9") in moved) == (unverified, not unverified)
    assert moto.messages_left(dead) == run.left


def test_what_is_left_does_not_count_towards_a_limit(moto: Moto, dead: Queue, queue: Queue) -> None:
    sqs = moto.client("sqs")
    said = {"verified": {"DataType": "String", "StringValue": "false"}}
    sqs.send_message(QueueUrl=dead.url, MessageBody=captured("evt_forged"), MessageAttributes=said)
    put(moto, dead, "evt_1", "evt_2")
    run = Redrive(sqs, dead.url, queue.url, wait_seconds=0)
    run.run(limit=1)
    assert (run.moved, run.left) == (1, 1)


def test_a_queue_that_cannot_be_read_is_said_and_the_exit_code_is_1(
    moto: Moto,
    dead: Queue,
    queue: Queue,
    act_as: Callable[[Credentials], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    act_as(moto.create_user(["sqs:SendMessage"]))
    monkeypatch.setattr(sys, "argv", ["redrive.py", "--from", dead.url, "--to", queue.url])
    with pytest.raises(SystemExit) as end:
        redrive.main()
    assert end.value.code == 1
    assert "not authorized" in capsys.readouterr().err


@pytest.mark.parametrize("is_allowed", [True, False])
def test_its_exit_code_says_whether_all_were_moved(
    moto: Moto,
    dead: Queue,
    queue: Queue,
    act_as: Callable[[Credentials], None],
    monkeypatch: pytest.MonkeyPatch,
    is_allowed: bool,
) -> None:
    put(moto, dead, "evt_1")
    act_as(moto.create_user(["sqs:ReceiveMessage", "sqs:DeleteMessage"] + ["sqs:SendMessage"] * is_allowed))
    monkeypatch.setattr(sys, "argv", ["redrive.py", "--from", dead.url, "--to", queue.url, "--limit", "1"])
    with pytest.raises(SystemExit) as end:
        redrive.main()
    assert end.value.code == (0 if is_allowed else 1)
    assert (moto.messages_left(dead), moto.messages_left(queue)) == ((0, 1) if is_allowed else (1, 0))
