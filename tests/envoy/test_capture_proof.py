"""Webhooks by the thousand, half of which look like others, through real Envoy and a real SQS to the worker of examples/, with faults
on the way: each that is answered 2xx is handled, whole and with the right verdict on its signature.

RETROHOOK_CAPTURE_PROOF sets how many there are (100,000 took 41 minutes on two busy cores). The counts are printed (`pytest -s`).
"""

import json
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock, Thread
from typing import Any

from rig.crowd import Crowd, run_crowd
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.faulty_wire import FaultyWire
from rig.lookalikes import QUEUES, captures, webhook
from rig.moto import Moto, Queue
from rig.relay import Relay
from rig.senders import ENVIRONMENT
from rig.sqs_sink import at_random
from rig.waiting import wait_for
from rig.webhook_stage import WebhookWorker

WEBHOOKS = int(os.environ.get("RETROHOOK_CAPTURE_PROOF", "1200"))

# A webhook that waits for a call that hangs holds up the end of its round, and no other round.
ROUND = 100
ROUNDS_AT_ONCE = 12
SENDERS = 7

# moto looks at every message of a queue in each call: what waits there is kept short.
BACKLOG = 80

PATIENCE = 300.0

# A disk that syncs in 10 ms lets a worker handle thirty a second.
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

# A second delivery that comes while the first is handled is hidden for as long as a handler may take.
ARGUMENTS = ["--accept-unverified", "--handler-seconds", "5"]


def start_envoy(wasm: Path, directory: Path, moto: Moto, wire: Relay, queues: dict[str, Queue]) -> Envoy:
    config = EnvoyConfig("capture", wasm)
    config.aim_queue(wire.address, queues["standard"].url)
    (shipped,) = config.settings["capture"]
    common = {"region": "us-east-1", "upstream": shipped["upstream"]}
    config.configure(
        capture=[
            *captures("standard", queue_url=queues["standard"].url, **common),
            *captures("fifo", queue_url=queues["fifo"].url, message_group_id="${request.path}", **common),
        ],
        credentials=moto.create_user(["sqs:SendMessage"]).settings(),
        timeout_ms=5000,
    )
    config.let_through(*ENVIRONMENT)
    return Envoy(config.write(directory / "envoy.yaml"), ENVIRONMENT)


def cut_now_and_then(wire: Relay, end: Event) -> None:
    """Nobody listens for a moment, and then somebody does."""
    while not end.wait(3.0):
        wire.cut()
        end.wait(0.1)
        wire.mend()


def handled(record: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def test_what_is_answered_2xx_is_handled(wasm: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    with ExitStack() as running:
        moto = running.enter_context(Moto(tmp_path / "moto.log"))
        queues = {"standard": moto.create_queue(), "fifo": moto.create_queue(fifo=True)}
        faults = running.enter_context(FaultyWire(moto.address, at_random(0.1)))
        wire = running.enter_context(Relay(faults.address))
        envoy = running.enter_context(start_envoy(wasm, tmp_path, moto, wire, queues))
        memory = running.enter_context(TemporaryDirectory(dir=IN_MEMORY))
        workers = [
            running.enter_context(
                WebhookWorker(
                    moto,
                    queues[name],
                    tmp_path / f"{name}.log",
                    [*ARGUMENTS, "--inbox", f"{memory}/{name}"],
                    record=tmp_path / name,
                )
            )
            for name in QUEUES
        ]
        end = Event()
        cutter = Thread(target=cut_now_and_then, args=(wire, end))
        cutter.start()
        running.callback(cutter.join)
        running.callback(end.set)

        def left() -> int:
            # Each look is a call that the workers have to wait for.
            end.wait(0.3)
            return sum(map(moto.messages_left, queues.values()))

        def send(first: int) -> Crowd:
            with next_round:
                wait_for(lambda: left() < BACKLOG, "the workers to keep up", PATIENCE)
            count = min(ROUND, WEBHOOKS - first)
            return run_crowd(gateway, "", count, SENDERS, hang_ups=0.05, requests="rig.lookalikes:request", first=first)

        gateway, next_round = envoy.address_of(), Lock()
        with ThreadPoolExecutor(ROUNDS_AT_ONCE) as rounds:
            crowds = list(rounds.map(send, range(0, WEBHOOKS, ROUND)))
        wait_for(lambda: left() == 0, "all to be handled", PATIENCE)
        envoy.assert_no_trap()
        for worker in workers:
            worker.stop()
        records = {name: handled(tmp_path / name) for name in QUEUES}

    answers: dict[int, list[int]] = {}
    for crowd in crowds:
        for status, numbers in crowd.answers.items():
            answers.setdefault(status, []).extend(numbers)
    hung_up = sum(len(crowd.hung_up) for crowd in crowds)
    answered = {webhook(number).mark: webhook(number) for number in answers[200]}
    by_mark = {line["mark"]: (name, line["body_sha256"], line["verified"]) for name in QUEUES for line in records[name]}
    missing = answered.keys() - by_mark.keys()
    wrong = {
        mark
        for mark, sent in answered.items()
        if mark not in missing and by_mark[mark] != (sent.queue, sent.body_sha256, sent.verified)
    }
    lines = sum(map(len, records.values()))
    print(
        f"{WEBHOOKS} webhooks in {time.monotonic() - began:,.0f} s: "
        f"{ {status: len(numbers) for status, numbers in answers.items()} } by status, {hung_up} hung up; "
        f"{faults.fault_count} faults in {faults.request_count} calls hit {faults.hit_count} messages; "
        f"{len(answered)} deliveries were answered 200, {lines} were handled; "
        f"{len(missing)} answered 200 and missing, {len(wrong)} with another body, queue or verdict"
    )
    assert not missing and not wrong, (sorted(missing)[:20], sorted(wrong)[:20])
    assert set(answers) <= {200, 503}
    # Webhooks in one call share its fault: how many it hits depends on how many come together.
    assert len(answers[200]) + hung_up + faults.hit_count > 0.95 * WEBHOOKS
    assert faults.hit_count > 0.05 * WEBHOOKS
    (most,) = Counter(line["id"] for name in QUEUES for line in records[name]).most_common(1)
    assert most[1] == 1, "no delivery is handled twice"
