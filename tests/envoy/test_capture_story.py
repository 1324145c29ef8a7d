"""A webhook from its sender to its handler, with what deploy/capture.yaml makes and with its permissions alone: through a handler
that fails and a dead-letter queue, and handled once.
"""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import PROJECT
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.http import send
from rig.moto import REGION, Moto, Queue
from rig.waiting import PATIENCE, wait_for
from rig.webhook_stage import SECRET, signed

sys.path.insert(0, str(PROJECT / "examples"))
from webhook import Webhook  # noqa: E402
from webhook_inbox import SqliteInbox  # noqa: E402
from webhook_worker import Worker  # noqa: E402

TEMPLATE = PROJECT / "deploy" / "capture.yaml"

# No two of their bytes may be exchanged: parsed and written again, it is another text, and the signature is of this one.
POISON = '{ "id":"evt_poison", "amount":1.50,"amount": 2e400,"note":"\\u00e9\\ud800 é",\r\n"list":[ ] }\n'
GOOD = '{"id": "evt_good"}'


class Handler:
    """Keeps what it gets, and fails while the test wants it to."""

    def __init__(self) -> None:
        self.got: list[Webhook] = []
        self.done: list[str] = []
        self.fails_at = {"evt_poison"}

    def __call__(self, webhook: Webhook) -> None:
        self.got.append(webhook)
        if webhook.sender_id in self.fails_at:
            raise RuntimeError("as the test asked")
        self.done.append(webhook.sender_id)


@pytest.fixture(params=["false", "true"], ids=["standard", "fifo"])
def stack(request: pytest.FixtureRequest, moto: Moto) -> dict[str, str]:
    return moto.create_stack(TEMPLATE, Fifo=request.param)


@pytest.fixture
def envoy(moto: Moto, stack: dict[str, str], wasm: Path, tmp_path: Path) -> Iterator[Envoy]:
    config = EnvoyConfig("capture", wasm)
    config.aim_queue(moto.address, stack["QueueUrl"])
    config.configure_capture(
        verify={"scheme": "stripe", "secrets": [SECRET], "on_failure": "reject"}, message_group_id="${request.path}"
    )
    sender = moto.create_user(policy_arns=[stack["SenderPolicyArn"]]).environment()
    with Envoy(config.write(tmp_path / "envoy.yaml"), sender) as running:
        yield running


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def worker(moto: Moto, stack: dict[str, str], handler: Handler, tmp_path: Path) -> Iterator[Worker]:
    sqs = moto.client("sqs", moto.create_user(policy_arns=[stack["ReaderPolicyArn"]]))
    inbox = SqliteInbox(str(tmp_path / "inbox"))
    worker = Worker(sqs, stack["QueueUrl"], inbox, handler, retry_seconds=0, wait_seconds=0)
    thread = threading.Thread(target=worker.run, args=(5,))
    thread.start()
    yield worker
    worker.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def redrive(moto: Moto, stack: dict[str, str]) -> str:
    """What examples/redrive.py says of its work."""
    operator = moto.create_user(policy_arns=[stack["RedriverPolicyArn"]]).environment()
    script = str(PROJECT / "examples" / "redrive.py")
    done = subprocess.run(
        [sys.executable, script, "--from", stack["DeadLetterQueueUrl"], "--to", stack["QueueUrl"]],
        env={**operator, "AWS_ENDPOINT_URL": moto.url, "AWS_DEFAULT_REGION": REGION},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_captured_failed_three_times_redriven_and_handled_once(
    moto: Moto, stack: dict[str, str], envoy: Envoy, handler: Handler, worker: Worker, capfd: pytest.CaptureFixture[str]
) -> None:
    queue, dead = Queue(stack["QueueUrl"], ""), Queue(stack["DeadLetterQueueUrl"], "")

    def post(body: str, at: float | None = None) -> int:
        return send(envoy.address_of(), "POST", "/webhook", signed(body, at), body.encode()).status

    assert post(POISON, at=1) == 401, "signatures are checked"
    assert post(POISON) == 200
    wait_for(lambda: moto.messages_left(dead) == 1, "a dead letter")
    assert moto.messages_left(queue) == 0
    assert [webhook.sender_id for webhook in handler.got] == ["evt_poison"] * 3
    (poison_id,) = {webhook.id for webhook in handler.got}
    assert {webhook.raw_body for webhook in handler.got} == {POISON.encode()}
    assert all(webhook.verified for webhook in handler.got)
    # The others go on meanwhile.
    assert post(GOOD) == 200
    wait_for(lambda: handler.done == ["evt_good"], "the good one")

    handler.fails_at.clear()
    assert redrive(moto, stack) == "1 moved, 0 not moved\n"
    wait_for(lambda: moto.messages_left(queue) == 0 and handler.done[1:], "the redriven one to be done")
    assert handler.done == ["evt_good", "evt_poison"]
    assert handler.got[-1].raw_body == POISON.encode()
    assert moto.messages_left(dead) == 0

    # A sender that has missed the answer: signed again, and the same event.
    capfd.readouterr()
    assert post(POISON) == 200
    is_fifo = stack["QueueUrl"].endswith(".fifo")
    seen = ""

    def is_known() -> bool:
        nonlocal seen
        seen += capfd.readouterr().out
        return f"done before: {poison_id}" in seen

    if not is_fifo:
        wait_for(is_known, "the worker to know it")
    # A FIFO queue has had it within five minutes and did not even take it.
    wait_for(lambda: moto.messages_left(queue) == 0, "the queue to be empty")
    assert len(handler.got) == 5 and handler.done == ["evt_good", "evt_poison"]
    assert envoy.metric("retrohook_captures_unverified_total") == 0


def test_a_message_is_as_the_documentation_has_it(moto: Moto, stack: dict[str, str], envoy: Envoy) -> None:
    (documented,) = re.findall(r"```text\n(\{.+?)```", (PROJECT / "docs" / "capture.md").read_text(), re.DOTALL)
    body = '{"id":"evt_1","amount":1.50}'
    assert send(envoy.address_of(), "POST", "/webhook?a=1", signed(body), body).status == 200
    (message,) = moto.receive(Queue(stack["QueueUrl"], ""), 1)
    expected, found = json.loads(documented), json.loads(message["Body"])
    assert list(found) == list(expected)
    differ = {"id", "headers", "received_at"}
    assert {name: found[name] for name in found if name not in differ} == {
        name: expected[name] for name in expected if name not in differ
    }
    assert expected["headers"].keys() <= found["headers"].keys()
    for text in (message["Body"], documented):
        assert re.match(r'\{"id":"[0-9a-f]{64}","body":\{"id":"evt_1","amount":1\.50\},"headers":\{', text), "byte for byte"
