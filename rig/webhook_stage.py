"""The way of a captured webhook in processes: its sender, a gateway that stores it, SQS behind a wire that can be cut, a worker."""

import hashlib
import hmac
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import PROJECT
from .envoy import Envoy
from .envoy_config import EnvoyConfig
from .gateway import wasm_path
from .http import Address, Reply, send
from .moto import REGION, Moto, Queue
from .ports import ANY, Ports
from .process import ServerProcess
from .relay import Relay

SECRET = "whsec_demo"
EXAMPLE = str(PROJECT / "examples" / "webhook_worker.py")


class WebhookWorker(ServerProcess):
    """examples/webhook_worker.py. Ready when constructed. With `record` it writes there what it handles.

    Of its arguments the last counts.
    """

    def __init__(self, moto: Moto, queue: Queue, log_path: Path, arguments: Sequence[str] = (), record: Path | None = None):
        actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
        if "--unverified-queue-url" in arguments:
            actions.append("sqs:SendMessage")
        super().__init__(
            [
                sys.executable, *([EXAMPLE] if record is None else ["-m", "rig.recording_worker"]),
                "--queue-url", queue.url,
                "--inbox", str(log_path.with_suffix(".sqlite3")),
                "--wait-seconds", "1",
                *arguments,
            ],
            log_path,
            {
                **moto.create_user(actions).environment(),
                "AWS_ENDPOINT_URL": moto.url,
                "AWS_DEFAULT_REGION": REGION,
                **({"RECORD": str(record), "PYTHONPATH": str(PROJECT)} if record else {}),
            },
        )  # fmt: skip
        self.wait_for_log("working on")


@dataclass(frozen=True)
class WebhookStage:
    """All of it, running."""

    envoy: Envoy
    wire: Relay
    worker: WebhookWorker

    @property
    def gateway(self) -> Address:
        return self.envoy.address_of()


@contextmanager
def open_webhook_stage(moto: Moto, directory: Path, ports: Ports = ANY) -> Iterator[WebhookStage]:
    """Beside a running moto."""
    with ExitStack() as running:
        wire = running.enter_context(Relay(moto.address))
        queue = moto.create_queue()
        config = EnvoyConfig("capture", wasm_path())
        config.listen_at(ports.of("the gateway for webhooks"), ports.of("the admin interface for webhooks"))
        config.aim_queue(wire.address, queue.url)
        config.configure_capture(verify={"scheme": "stripe", "secrets": [SECRET]})
        config.configure(timeout_ms=3000)
        sender = moto.create_user(["sqs:SendMessage"]).environment()
        envoy = running.enter_context(Envoy(config.write(directory / "envoy-capture.yaml"), sender))
        aside = ["--unverified-queue-url", moto.create_queue().url]
        worker = running.enter_context(WebhookWorker(moto, queue, directory / "webhook-worker.log", aside))
        yield WebhookStage(envoy, wire, worker)


def signed(body: str, at: float | None = None) -> dict[str, str]:
    """The headers with which Stripe sends `body`."""
    seconds = int(time.time() if at is None else at)
    signature = hmac.new(SECRET.encode(), f"{seconds}.{body}".encode(), hashlib.sha256).hexdigest()
    return {"content-type": "application/json", "stripe-signature": f"t={seconds},v1={signature}"}


def send_webhook(gateway: Address, event_id: str) -> Reply:
    """As Stripe sends one."""
    body = f'{{"id": "{event_id}", "object": "event", "type": "payment_intent.succeeded", "amount": 12.50}}'
    return send(gateway, "POST", "/webhook", signed(body), body)
