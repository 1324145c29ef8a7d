"""Webhooks that come together go to SQS together, through real Envoy: each sender is answered with its own message's id, or not at
all, and every one is in the queue.
"""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import ANY_CREDENTIALS
from rig.http import Address
from rig.moto import Moto, Queue
from rig.sqs_sink import SqsSink, acknowledge, error, swapped
from rig.waiting import PATIENCE, wait_for

SENDERS = 200


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with Moto(tmp_path_factory.mktemp("moto") / "moto.log") as server:
        yield server


@pytest.fixture
def start_for(wasm: Path, start_envoy: Callable[..., Envoy]) -> Callable[..., Envoy]:
    """Starts an Envoy that stores webhooks in a queue of moto's."""

    def start(moto: Moto, queue: Queue, **capture: Any) -> Envoy:
        config = EnvoyConfig("capture", wasm)
        config.aim_queue(moto.address, queue.url)
        config.configure_capture(region="us-east-1", **capture)
        config.configure(
            max_captures=SENDERS, timeout_ms=20_000, credentials=moto.create_user(["sqs:SendMessage"]).settings()
        )
        return start_envoy(config, ANY_CREDENTIALS.environment())

    return start


def request(number: int, path: str = "/webhook") -> bytes:
    body = json.dumps({"number": number})
    head = f"POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\nwebhook-id: w-{number}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


def read_answer(connection: socket.socket) -> tuple[int, str | None]:
    """The status, and the id of the message."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(65536)
        if not more:
            raise EOFError(received)
        received += more
    lines = received.decode().split("\r\n")
    ids = [line.partition(": ")[2] for line in lines if line.startswith("x-retrohook-message-id: ")]
    return int(lines[0].split(" ")[1]), ids[0] if ids else None


def send_together(envoy: Envoy, count: int = SENDERS) -> dict[int, tuple[int, str | None]]:
    """All are in Envoy's sockets before it reads the first."""
    address: Address = envoy.address_of()
    senders = {number: socket.create_connection(address, timeout=PATIENCE) for number in range(count)}
    with envoy.stopped():
        for number, sender in senders.items():
            sender.sendall(request(number))
    answers = {number: read_answer(sender) for number, sender in senders.items()}
    for sender in senders.values():
        sender.close()
    return answers


@pytest.mark.parametrize("fifo", [False, True])
def test_two_hundred_together_are_each_answered_their_own_id_and_all_stored(
    moto: Moto, start_for: Callable[..., Envoy], fifo: bool
) -> None:
    queue = moto.create_queue(fifo=fifo)
    envoy = start_for(moto, queue, **({"message_group_id": "${request.headers.host}"} if fifo else {}))
    answers = send_together(envoy)
    assert {status for status, _ in answers.values()} == {200}
    ids = {message_id: number for number, (_, message_id) in answers.items()}
    assert len(ids) == SENDERS
    stored: dict[str, int] = {}
    client = moto.client("sqs")
    while len(stored) < SENDERS:
        received = client.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10).get("Messages", [])
        assert received, f"only {len(stored)} are in the queue"
        for message in received:
            stored[message["MessageId"]] = json.loads(message["Body"])["body"]["number"]
            client.delete_message(QueueUrl=queue.url, ReceiptHandle=message["ReceiptHandle"])
    assert stored == ids, "the id that a sender got is that of its own webhook"
    # Counted at the next tick.
    wait_for(lambda: envoy.metric("retrohook_captures_stored_total") == SENDERS, "all to be counted")
    calls = envoy.metric("retrohook_callouts_ok_total")
    assert calls < SENDERS / 5, f"{calls} calls"


def test_those_in_a_call_that_hang_up_take_nothing_from_the_others(
    start_capture: Callable[..., Envoy], queue: SqsSink
) -> None:
    envoy = start_capture(queue, max_captures=SENDERS)
    address = envoy.address_of()
    for _ in range(5):
        senders = {number: socket.create_connection(address, timeout=PATIENCE) for number in range(100)}
        with envoy.stopped():
            for number, sender in senders.items():
                sender.sendall(request(number))
                if number % 3 == 0:
                    sender.close()
        for number, sender in senders.items():
            if number % 3:
                assert read_answer(sender)[0] == 200
                sender.close()
    envoy.assert_no_trap()


def test_a_connection_that_sends_ahead_is_answered_in_order(start_capture: Callable[..., Envoy], queue: SqsSink) -> None:
    envoy = start_capture(queue)
    with socket.create_connection(envoy.address_of(), timeout=PATIENCE) as connection:
        connection.sendall(b"".join(map(request, range(50))))
        received = b""
        while received.count(b"x-retrohook-message-id") < 50:
            more = connection.recv(65536)
            assert more, received
            received += more
    assert sum(queue.message_ids.values()) == 50


@pytest.mark.parametrize("odd", [swapped(lambda ids: [*ids[1:], *ids[:1]]), swapped(lambda ids: ["99", *ids[1:]])])
def test_no_reply_about_other_entries_makes_a_success(start_capture: Callable[..., Envoy], queue: SqsSink, odd: Any) -> None:
    batches = []

    def answer(request: Any) -> Any:
        batches.extend([request] * request.is_batch)
        return (odd if request.is_batch else error(500))(request)

    queue.answers = answer
    envoy = start_capture(queue, max_captures=SENDERS, timeout_ms=1000)
    answers = send_together(envoy, 60)
    assert {status for status, _ in answers.values()} == {503} and not queue.message_ids
    assert len(batches) >= 4


def test_a_queue_that_takes_less_in_one_call_gets_less(start_capture: Callable[..., Envoy], queue: SqsSink) -> None:
    """`MaximumMessageSize` bounds the messages of a batch together: what is refused for its sum is not too large."""
    refusal = error(400, "BatchRequestTooLong")

    def limited(request: Any) -> Any:
        is_too_long = request.is_batch and sum(len(entry["MessageBody"]) for entry in request.entries) > 2000
        return (refusal if is_too_long else acknowledge)(request)

    queue.answers = limited
    envoy = start_capture(queue, max_captures=SENDERS)
    answers = send_together(envoy)
    assert {status for status, _ in answers.values()} == {200}
    assert len(queue.message_ids) == SENDERS and set(queue.message_ids.values()) == {1}
    before = queue.request_count
    assert {status for status, _ in send_together(envoy).values()} == {200}
    refused = [request for request in list(queue.requests)[-(queue.request_count - before) :] if request.is_batch]
    assert all(sum(len(entry["MessageBody"]) for entry in request.entries) <= 2000 for request in refused), "it is remembered"
