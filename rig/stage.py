"""The whole story of the project in processes: gateway, service, SNS, SQS, and the application's two consumers."""

import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import LOOPBACK, PROJECT
from .claim import claim_folder
from .envoy import Envoy
from .envoy_config import EnvoyConfig
from .gateway import wasm_path
from .http import Address
from .moto import REGION, Moto, Queue
from .ports import ANY, Ports
from .process import ServerProcess
from .profile_service import ProfileService

WITHOUT_RETROHOOK = "without-retrohook"

_EXAMPLES = PROJECT / "examples"


class CallbackApp(ServerProcess):
    """examples/callback_app.py. Ready when constructed."""

    def __init__(self, gateway: Address, topic_arn: str, log_path: Path, port: int = 0):
        super().__init__(
            [
                sys.executable, str(_EXAMPLES / "callback_app.py"),
                "--origin", f"http://{gateway[0]}:{gateway[1]}",
                "--topic-arn", topic_arn,
                "--port", str(port),
                # moto signs, but names a certificate at AWS that is not there.
                "--insecure-skip-signature-check",
            ],
            log_path,
        )  # fmt: skip
        self.address: Address = (LOOPBACK, int(self.wait_for_log(r"listening on port (\d+)")[1]))


class QueueWorker(ServerProcess):
    """examples/queue_worker.py. Ready when constructed."""

    def __init__(self, moto: Moto, queue: Queue, log_path: Path):
        user = moto.create_user(["sqs:ReceiveMessage", "sqs:DeleteMessage"])
        super().__init__(
            [
                sys.executable, str(_EXAMPLES / "queue_worker.py"),
                "--queue-url", queue.url,
                "--inbox", str(log_path.with_suffix(".sqlite3")),
            ],
            log_path,
            {**user.environment(), "AWS_ENDPOINT_URL": moto.url, "AWS_DEFAULT_REGION": REGION},
        )  # fmt: skip
        self.wait_for_log("draining")


@dataclass(frozen=True)
class Stage:
    """All of it, running; its logs are in `directory`."""

    directory: Path
    service: ProfileService
    moto: Moto
    envoy: Envoy
    callback_app: CallbackApp
    worker: QueueWorker
    topic_arn: str
    queue: Queue

    @property
    def gateway(self) -> Address:
        return self.envoy.address_of()

    @property
    def gateway_without_retrohook(self) -> Address:
        return self.envoy.address_of(WITHOUT_RETROHOOK)


@contextmanager
def open_stage(directory: Path, ports: Ports) -> Iterator[Stage]:
    """Starts everything, says what it does on the way, and stops everything at the end. Logs go to `directory`."""
    wasm = wasm_path()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with ExitStack() as running:

        def say(what: str) -> None:
            print(f"  {what}", flush=True)

        service = running.enter_context(ProfileService(directory / "profile-service.log"))
        say(f"profile service    {_url(service.address)}")

        moto = running.enter_context(Moto(directory / "moto.log", ports.of("SNS and SQS")))
        say(f"SNS, SQS and IAM   {moto.url}  (moto; it checks signatures and permissions)")

        topic_arn = moto.create_topic()
        config = EnvoyConfig("http-filter", wasm)
        config.aim_service(service.address)
        config.aim_aws(moto.address)
        config.configure(topic_arn=topic_arn)
        config.listen_at(ports.of("the gateway"), ports.of("the admin interface"))
        config.add_listener_without_retrohook(WITHOUT_RETROHOOK, ports.of("the gateway without Retrohook"))
        publisher = moto.create_publisher().environment()
        envoy = running.enter_context(Envoy(config.write(directory / "envoy.yaml"), publisher))
        say(f"Envoy              {_url(envoy.address_of())}  (envoy/http-filter.yaml; admin {_url(envoy.admin)})")

        app = running.enter_context(CallbackApp(envoy.address_of(), topic_arn, directory / "callback-app.log", ports.of("the callback app")))
        moto.subscribe(topic_arn, "http", f"{_url(app.address)}/events")
        say(f"callback app       {_url(app.address)}  (its /events is subscribed to the topic)")

        queue = moto.subscribe_queue(topic_arn)
        worker = running.enter_context(QueueWorker(moto, queue, directory / "queue-worker.log"))
        say("queue worker       drains an SQS queue that is subscribed to the topic")

        yield Stage(directory, service, moto, envoy, app, worker, topic_arn, queue)


def run(directory: Path, show: Callable[[Stage], None], ports: Ports = ANY) -> None:
    """A script that starts everything, shows something, and stops everything, also on SIGTERM and Ctrl-C.

    Where another run writes to `directory`, it has a folder beside that one.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A shell has what it runs in the background ignore SIGINT, and Python leaves it at that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    directory, lock = claim_folder(directory)
    print("Starting:", flush=True)
    try:
        with lock, open_stage(directory, ports) as stage:
            show(stage)
            print("\nStopping everything ...", flush=True)
        print(f"Done. The logs are in {directory.relative_to(PROJECT)}.")
    except FileNotFoundError as missing:
        sys.exit(str(missing))
    except KeyboardInterrupt:
        sys.exit("\nStopped.")


def _url(address: Address) -> str:
    return f"http://{address[0]}:{address[1]}"
