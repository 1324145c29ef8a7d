"""What one queue for each target is worth in real Envoy: order, full calls, memory, hot groups, and where its work is done.

With another module in RETROHOOK_BASE_WASM each row is measured for both in turns, in one run: that is how a change is judged. Names
of rows as arguments choose among them.
"""

import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import ANY_CREDENTIALS, wasm_path
from rig.http import send
from rig.load import LoadProcess, run_load
from rig.profile_service import ProfileService
from rig.sns_answers import Answer, acknowledge, error, slow
from rig.sns_request import SnsRequest
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

MODULES = {"this": wasm_path()}
if base := os.environ.get("RETROHOOK_BASE_WASM"):
    MODULES = {"base": Path(base), **MODULES}

ROUTE = {"method": "PUT", "matcher": "^/mockbin/(?P<id>[0-9]+)/profile$"}
GROUPED: dict[str, Any] = {
    "topic_arn": "arn:aws:sns:us-east-1:123456789012:profiles.fifo",
    "routes": [{**ROUTE, "message_group_id": "${path.id}"}],
}
QUEUED, MIB = "retrohook_queued_entries", 1 << 20

# What docs/guides/production.md recommends for Envoy's allocator.
FRUGAL_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.pthread.rseq=0"}
FRUGAL_ALLOCATOR = {"bytes_to_release": 16 * MIB, "memory_release_interval": "1s"}


class Bench:
    """What every row needs: the service, and a folder for what Envoys read and write."""

    def __init__(self, folder: Path, service: ProfileService):
        self._folder, self._service, self._count = folder, service, 0

    @contextmanager
    def envoy(
        self,
        wasm: Path,
        sink: SnsSink,
        workers: int,
        way: str = "access-logger",
        frugal: bool = False,
        **settings: Any,
    ) -> Iterator[Envoy]:
        self._count += 1
        config = EnvoyConfig(way, wasm)
        environment = ANY_CREDENTIALS.environment()
        if frugal:
            config.document["memory_allocator_manager"] = FRUGAL_ALLOCATOR
            environment |= FRUGAL_ENVIRONMENT
        config.aim_service(self._service.address)
        config.aim_aws(sink.address)
        config.configure(**settings)
        envoy = Envoy(config.write(self._folder / f"{self._count}.yaml"), environment, workers)
        try:
            yield envoy
        finally:
            envoy.stop()


class TimedSink(SnsSink):
    """Remembers when events of which entity were first stored, and in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.arrivals: list[tuple[str, int, float]] = []
        self.calls = 0

    def answer(self, request: SnsRequest) -> Answer:
        answer = super().answer(request)
        self.calls += 1
        now = time.time()
        for entry, summary in zip(request.entries, request.summaries, strict=True):
            if summary.mark is not None and summary.entry_id in answer.stored:
                self.arrivals.append((entry.parameters.get("MessageGroupId", ""), summary.mark, now))
        return answer


def order(bench: Bench, wasm: Path) -> str:
    """One client, one entity, one request after the other on a connection of its own."""
    with TimedSink() as sink, bench.envoy(wasm, sink, 4, **GROUPED) as envoy:
        for mark in range(600):
            send(envoy.address_of(), "PUT", f"/mockbin/7/profile?mark={mark}")
        sink.wait_for_events(600)
        newest, late = -1, 0
        for _, mark, _ in sink.arrivals:
            late += mark < newest
            newest = max(newest, mark)
        return f"{late} of 600 late on 4 workers"


def fill(bench: Bench, wasm: Path) -> str:
    parts = []
    for workers, rate in ((4, 200), (16, 200), (16, 50)):
        with SnsSink() as sink, bench.envoy(wasm, sink, workers) as envoy:
            run_load(envoy.address_of(), "PUT", "/mockbin/profile", 5 * rate, rate, connections=64)
            sink.wait_for_events(5 * rate)
            parts.append(f"{5 * rate / sink.request_count:.1f} at {rate}/s on {workers} workers")
    return "events in a call: " + ", ".join(parts)


def resident(pid: int) -> float:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def memory(bench: Bench, wasm: Path) -> str:
    """An outage with events of ever other sizes, up to the bound of 16 MiB; with Envoy's allocator as it is, and frugal."""
    attributes = {f"a{number}": "${request.path}" for number in range(8)}
    settings = {"attributes": attributes, "queue": {"max_entries": 1_000_000, "max_bytes": 16 * MIB}, "dead_letter": {"log": False}}
    parts = []
    for workers, frugal in ((1, False), (16, False), (1, True), (16, True)):
        with SnsSink() as sink:
            sink.answers = error(503)
            with bench.envoy(wasm, sink, workers, frugal=frugal, **settings) as envoy:
                # Of what is free, a part is given back each second.
                time.sleep(5)
                start = resident(envoy.pid)
                most = start
                for size in (10, 400, 100, 1_900, 50, 1_000, 10, 1_500):
                    address, path = envoy.address_of(), f"/mockbin/{'y' * size}/profile"
                    run_load(address, "PUT", path, 3_000, 3_000, 64)
                    most = max(most, resident(envoy.pid))
                sink.answers = acknowledge
                wait_for(lambda envoy=envoy: envoy.metric(QUEUED) == 0, "the queue to drain", 120)
                time.sleep(5)
                after = resident(envoy.pid) - start
                kind = ", frugal" if frugal else ""
                parts.append(f"{most - start:.0f} MiB, {after:.0f} after it, on {workers} workers{kind}")
    return "memory above the start in an outage: " + "; ".join(parts)


def hot_group(bench: Bench, wasm: Path) -> str:
    """3,000 updates of one entity in 3.6 s, and 40 other entities beside it. SNS takes 20 ms for each call."""
    parts = []
    for workers in (1, 4):
        with TimedSink() as sink:
            sink.answers = slow(0.02)
            with bench.envoy(wasm, sink, workers, **GROUPED) as envoy:
                hot = LoadProcess(envoy.address_of(), "PUT", "/mockbin/1/profile", 3_000, 833, 32)
                sent: dict[str, float] = {}
                for entity in range(100, 140):
                    send(envoy.address_of(), "PUT", f"/mockbin/{entity}/profile?mark=0")
                    sent[str(entity)] = time.time()
                    time.sleep(0.08)
                hot.result()
                wait_for(lambda: len({group for group, _, _ in sink.arrivals}) == 41, "all groups", 180)
                delays = [at - sent[group] for group, _, at in sink.arrivals if group in sent]
                wait_for(lambda: len(sink.arrivals) >= 3_040, "all events", 180)
                parts.append(
                    f"others waited {statistics.median(delays):.2f} s, {max(delays):.2f} at most, "
                    f"{3_040 / sink.calls:.1f} events in a call, on {workers} workers"
                )
    return "; ".join(parts)


def cpu_by_thread(pid: int) -> dict[str, float]:
    """Microseconds on a processor of the main thread, of all workers, and of the others."""
    sums: dict[str, float] = defaultdict(float)
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = task.joinpath("comm").read_text().strip()
        kind = "workers" if name.startswith("wrk") else "main" if task.name == str(pid) else "others"
        sums[kind] += int(task.joinpath("schedstat").read_text().split()[0]) / 1e3
    return sums


def cpu(bench: Bench, wasm: Path) -> str:
    """What a published event adds to the same request that matches nothing: the least of several rounds."""
    count, rate = 4_000, 2_000
    least: dict[str, dict[str, float]] = {}
    with SnsSink() as sink, bench.envoy(wasm, sink, 2) as envoy:
        published = 0
        for _ in range(6):
            for what, method in (("match", "PUT"), ("none", "POST")):
                before = cpu_by_thread(envoy.pid)
                run_load(envoy.address_of(), method, "/mockbin/profile", count, rate)
                published += count * (what == "match")
                wait_for(lambda all_=published: envoy.metric("retrohook_events_published_total") == all_, "delivery")
                after = cpu_by_thread(envoy.pid)
                used = {kind: (after[kind] - before[kind]) / count for kind in ("main", "workers", "others")}
                if what not in least or sum(used.values()) < sum(least[what].values()):
                    least[what] = used
    added = {kind: least["match"][kind] - least["none"][kind] for kind in least["match"]}
    parts = ", ".join(f"{kind} {micros:.0f}" for kind, micros in added.items())
    return f"CPU that a published event adds: {sum(added.values()):.0f} µs ({parts})"


def idle(bench: Bench, wasm: Path) -> str:
    """What ticks cost where nothing is asked for."""
    parts = []
    for workers in (1, 16):
        with SnsSink() as sink, bench.envoy(wasm, sink, workers) as envoy:
            # Until the main thread sends, and every worker has seen that.
            time.sleep(12)
            before, start = cpu_by_thread(envoy.pid), time.monotonic()
            time.sleep(10)
            after, seconds = cpu_by_thread(envoy.pid), time.monotonic() - start
            used = ", ".join(f"{kind} {(after[kind] - before[kind]) / 1e3 / seconds:.1f}" for kind in ("main", "workers"))
            parts.append(f"{used} ms/s, {resident(envoy.pid):.0f} MiB, on {workers} workers")
    return "CPU of an idle Envoy: " + "; ".join(parts)


def throughput(bench: Bench, wasm: Path) -> str:
    """As fast as two load generators go beside it on the same processors, and how fast they go where nothing matches."""
    count = 30_000
    with SnsSink() as sink, bench.envoy(wasm, sink, 2, queue={"max_entries": 1_000_000, "max_bytes": 256 * MIB}) as envoy:

        def load(method: str) -> float:
            start = time.monotonic()
            loads = [LoadProcess(envoy.address_of(), method, "/mockbin/profile", count, 100_000, 32) for _ in range(2)]
            assert all(load.result().statuses == {200: count} for load in loads)
            return 2 * count / (time.monotonic() - start)

        unmatched = load("POST")
        start = time.monotonic()
        sent = load("PUT")
        wait_for(lambda: len(sink.stored) == 2 * count, "all events", 180)
        acknowledged = 2 * count / (time.monotonic() - start)
        twice = sum(sink.stored.values()) - len(sink.stored)
        return (
            f"{sent:,.0f} requests/s, {acknowledged:,.0f} events/s acknowledged, {twice} twice; "
            f"{unmatched:,.0f} requests/s where nothing matches"
        )


ROWS: dict[str, Callable[[Bench, Path], str]] = {
    each.__name__: each for each in (order, fill, memory, hot_group, cpu, idle, throughput)
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, ProfileService(Path(folder) / "service.log") as service:
        bench = Bench(Path(folder), service)
        for name in sys.argv[1:] or ROWS:
            for module, wasm in MODULES.items():
                label = name if len(MODULES) == 1 else f"{name}, {module}"
                print(f"{label}: {ROWS[name](bench, wasm)}", flush=True)


if __name__ == "__main__":
    main()
