"""What Retrohook costs a request in real Envoy beside what else an operator could do, and writes the table into docs/cost.md.

Every row is an Envoy of its own, started anew in every round, because the layout of one process alone is worth 15 µs; rows take turns
in another order each round. Processor time is the scheduler's own count of each thread. What a row adds is the difference to the bare
Envoy of the same round, and the table has medians over the rounds with half of the range between the quartiles as the spread.

It goes on until the ratio of a published event to Lua with one call has a spread under 5 %, for ROUNDS rounds at most (15), and at least
a third of them. ROUNDS=1 is a quick look, and writes nothing. Names of rows as arguments choose among them, and write nothing.
"""

import os
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from rig import PROJECT
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import ANY_CREDENTIALS, wasm_path
from rig.grpc_log_sink import GrpcLogSink
from rig.http import Address
from rig.load import run_load
from rig.profile_service import ProfileService
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

ROUNDS = int(os.environ.get("ROUNDS", "15"))
COUNT, RATE, WARM_UP = 2_000, 2_000, 400
ENOUGH = 0.05
PAGE = PROJECT / "docs" / "cost.md"
BEGIN, END = "<!-- make bench -->", "<!-- end of make bench -->"
EMPTY = PROJECT / "dist" / "fixtures" / "empty.wasm"
TYPES = "type.googleapis.com/envoy.extensions"

THREE_HEADERS = """
function envoy_on_request(handle)
  local headers = handle:headers()
  local read = headers:get(":method") .. headers:get(":path") .. (headers:get("user-agent") or "")
end
"""
ONE_CALL = """
function envoy_on_request(handle)
  local headers = handle:headers()
  local event = '{"method":"' .. headers:get(":method") .. '","path":"' .. headers:get(":path") .. '"}'
  handle:httpCall("collector", {[":method"] = "POST", [":path"] = "/event/profile", [":authority"] = "collector",
    ["content-type"] = "application/json"}, event, 1000, true)
end
"""
FIVE_FIELDS = {
    "user": "${request.headers.user-agent}", "status": "${response.status}", "ip": "${client_ip}", "route": "${route.name}",
    "path": "${request.path}",
}  # fmt: skip

Change = Callable[[EnvoyConfig, "Rig"], None]


@dataclass
class Rig:
    """What stands around every Envoy."""

    folder: Path
    service: Address
    sns: SnsSink
    logs: Address


@dataclass
class Row:
    name: str
    change: Change
    way: str | None = None
    """The shipped configuration that runs Retrohook; without one it is taken out."""
    method: str = "PUT"
    path: str = "/mockbin/profile"
    settings: dict[str, Any] = field(default_factory=dict)
    workers: int = 1
    headers: int = 0
    body: int = 13

    @property
    def rate(self) -> int:
        """A tenth where a request is so large that Python can send no more."""
        return RATE if self.body < 1_024 else RATE // 10

    @property
    def publishes(self) -> bool:
        return self.way is not None and (self.method, self.path) == ("PUT", "/mockbin/profile")


@dataclass
class Sample:
    all: float
    workers: float
    p50: float
    p99: float


def nothing(_config: EnvoyConfig, _rig: Rig) -> None:
    pass


def http_filter(name: str, settings: dict[str, Any]) -> Change:
    """Puts a filter before the router."""
    return lambda config, _rig: config.http_manager["http_filters"].insert(0, {"name": name, "typed_config": settings})


def lua(code: str) -> Change:
    def change(config: EnvoyConfig, rig: Rig) -> None:
        config.add_cluster_at("collector", rig.service)
        kind = f"{TYPES}.filters.http.lua.v3.Lua"
        http_filter("lua", {"@type": kind, "default_source_code": {"inline_string": code}})(config, rig)

    return change


def empty_filter(config: EnvoyConfig, rig: Rig) -> None:
    code = {"local": {"filename": str(EMPTY)}}
    plugin = {"name": "empty", "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": code}}
    http_filter("empty", {"@type": f"{TYPES}.filters.http.wasm.v3.Wasm", "config": plugin})(config, rig)


def log_to(kind: str, settings: Callable[[Rig], dict[str, Any]]) -> Change:
    def change(config: EnvoyConfig, rig: Rig) -> None:
        config.add_http2_cluster("logs", rig.logs)
        logger = {"name": "log", "typed_config": {"@type": f"{TYPES}.access_loggers.{kind}", **settings(rig)}}
        config.http_manager.setdefault("access_log", []).append(logger)

    return change


def envoy_signs(config: EnvoyConfig, _rig: Rig) -> None:
    config.let_envoy_sign(config.settings["upstream"], "sns")


def to_file(rig: Rig) -> dict[str, Any]:
    return {"path": str(rig.folder / "access.log")}


def to_grpc(_rig: Rig) -> dict[str, Any]:
    return {"common_config": {"log_name": "bench", "transport_api_version": "V3", "grpc_service": {"envoy_grpc": {"cluster_name": "logs"}}}}


BARE, CALL, LUA = "Envoy alone", "Lua, one unsigned call per request", "Lua, reads three headers"
MATCH = "access logger: published"


def rows() -> list[Row]:
    others = [
        Row(BARE, nothing),
        Row("empty filter in Wasm", empty_filter),
        Row("access log to a file", log_to("file.v3.FileAccessLog", to_file)),
        Row("access log over gRPC", log_to("grpc.v3.HttpGrpcAccessLogConfig", to_grpc)),
        Row(LUA, lua(THREE_HEADERS)),
        Row(CALL, lua(ONE_CALL)),
    ]
    ours = []
    for title, way in (("HTTP filter", "http-filter"), ("access logger", "access-logger")):
        ours += [
            Row(f"{title}: another method", nothing, way, method="POST"),
            Row(f"{title}: another path", nothing, way, path="/mockbin/account"),
            Row(f"{title}: published", nothing, way),
            Row(f"{title}: published, five fields", nothing, way, settings={"message": FIVE_FIELDS}),
            Row(f"{title}: published, Envoy signs", envoy_signs, way),
            Row(f"{title}: published, no journal", nothing, way, settings={"queue": {"journal": "off"}}),
        ]
    return others + ours


def growth() -> list[Row]:
    """Rows that show how the cost grows; each is beside a bare Envoy of as many workers and headers."""

    def routes(count: int) -> dict[str, Any]:
        more = [{"method": "PUT", "matcher": f"^/mockbin/v[0-9]+/users/([^/]+)/orders{number}$"} for number in range(count - 1)]
        return {"routes": [*more, {"method": "PUT", "matcher": "profile$"}]}

    def filler(size: int) -> dict[str, Any]:
        return {"message": {"filler": "x" * size}}

    with_body = {"routes": [{"method": "PUT", "matcher": "profile$", "request_body": {}}]}
    way = "access-logger"
    return [
        *(Row(f"{count} routes, another path", nothing, "http-filter", path="/mockbin/account", settings=routes(count)) for count in (1, 20, 100)),
        *(Row(f"{count} routes, published", nothing, way, settings=routes(count)) for count in (1, 20, 100)),
        *(Row(f"Envoy alone, {count} headers", nothing, headers=count) for count in (5, 50)),
        *(Row(f"{count} headers, published", nothing, way, headers=count) for count in (5, 50)),
        *(Row(f"event of {size / 1024:g} KB, published", nothing, way, settings=filler(size)) for size in (512, 2_048)),
        Row("Envoy alone, a body of 64 KB", nothing, body=65_536),
        Row("event of 64 KB, published", nothing, "http-filter", settings=with_body, body=65_536),
        *(Row(f"Envoy alone, {count} workers", nothing, workers=count) for count in (2,)),
        *(Row(f"{count} workers, published", nothing, way, workers=count) for count in (1, 2)),
    ]


def base_of(name: str) -> str:
    """The bare Envoy to compare a row of `growth` with."""
    if name.startswith("event of 64"):
        return "Envoy alone, a body of 64 KB"
    for part in (" headers", " workers"):
        same = f"Envoy alone, {name.split(',')[0]}"
        if part in name and not name.startswith(("Envoy", "1 ")):
            return same
    return BARE


def cpu(envoy: Envoy) -> dict[str, float]:
    """Microseconds on a processor, of the workers and of all threads."""
    spent: dict[str, float] = defaultdict(float)
    for task in Path(f"/proc/{envoy.pid}/task").iterdir():
        micros = int((task / "schedstat").read_text().split()[0]) / 1e3
        spent["all"] += micros
        spent["workers"] += micros if (task / "comm").read_text().startswith("wrk") else 0
    return spent


def measure(row: Row, rig: Rig, number: int) -> Sample:
    config = EnvoyConfig(row.way or "http-filter", wasm_path())
    config.aim_service(rig.service)
    if row.way is None:
        manager = config.http_manager
        manager["http_filters"] = [each for each in manager["http_filters"] if each["name"] != "retrohook"]
    else:
        config.aim_aws(rig.sns.address)
        config.configure(**row.settings)
    row.change(config, rig)
    with Envoy(config.write(rig.folder / f"{number}.yaml"), ANY_CREDENTIALS.environment(), row.workers) as envoy:
        address, published = envoy.address_of(), 0

        def drive(count: int) -> Any:
            nonlocal published
            result = run_load(address, row.method, row.path, count, row.rate, 32, row.headers, row.body)
            assert result.statuses.keys() <= {200, 404}, result
            if row.publishes:
                published += count
                done = lambda: envoy.metric("retrohook_events_published_total") == published  # noqa: E731
                wait_for(done, f"delivery: {row.name}", 60)
            else:
                # What ticks and flushes of others take is theirs.
                time.sleep(0.3)
            return result

        count = COUNT * row.rate // RATE
        drive(WARM_UP * row.rate // RATE)
        before = cpu(envoy)
        result = drive(count)
        after = cpu(envoy)
        envoy.assert_running()
        used = {kind: (after[kind] - before[kind]) / count for kind in after}
        return Sample(used["all"], used["workers"], result.median_ms, result.p99_ms)


def spread(values: list[float]) -> float:
    """Half of the range between the quartiles."""
    if len(values) < 3:
        return float("inf")
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2


def base_samples(taken: dict[str, list[Sample]], name: str) -> list[Sample]:
    """The samples of the bare Envoy beside a row, or of the usual one if the row's own is not measured."""
    return taken.get(base_of(name)) or taken[BARE]


def ratios(taken: dict[str, list[Sample]], name: str, other: str, what: str) -> list[float]:
    """The ratio of what two rows add to the bare Envoy, of each round."""
    rounds = zip(taken[name], base_samples(taken, name), taken[other], taken[BARE], strict=True)
    get = lambda sample: getattr(sample, what)  # noqa: E731
    added = [(get(one) - get(base), get(two) - get(bare)) for one, base, two, bare in rounds]
    return [one / two for one, two in added if two > 0]


def table(taken: dict[str, list[Sample]], names: list[str]) -> str:
    lines = [
        "| | all threads, added | workers, added | of Lua with a call: all | workers | p50 | p99 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in names:
        base = base_samples(taken, name)
        cells = [name]
        for what in ("all", "workers"):
            added = [getattr(one, what) - getattr(bare, what) for one, bare in zip(taken[name], base, strict=True)]
            if name == BARE:
                added = [getattr(each, what) for each in taken[name]]
            width = f" ± {spread(added):.1f}" if len(added) > 2 else ""
            cells.append(f"{statistics.median(added):.1f}{width} µs{' in all' if name == BARE else ''}")
        for what in ("all", "workers"):
            of_call = ratios(taken, name, CALL, what) if CALL in taken and not name.startswith("Envoy") else []
            cells.append(f"{statistics.median(of_call):.2f}" if of_call else "")
        cells += [f"{statistics.median([getattr(each, what) for each in taken[name]]):.2f} ms" for what in ("p50", "p99")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write(tables: list[str], rounds: int) -> None:
    text = PAGE.read_text()
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    said = f"Medians of {rounds} processes of each row, at {RATE} requests a second; ± is half of the range between the quartiles."
    PAGE.write_text("\n\n".join([head + BEGIN, said, *tables, END + tail]))


def main() -> None:
    main_rows, more_rows = rows(), growth()
    wanted = sys.argv[1:]
    all_rows = [row for row in main_rows + more_rows if not wanted or row.name in wanted or row.name in (BARE, CALL)]
    taken: dict[str, list[Sample]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        service = running.enter_context(ProfileService(Path(folder) / "service.log"))
        logs = running.enter_context(GrpcLogSink(Path(folder) / "logs.log"))
        rig = Rig(Path(folder), service.address, running.enter_context(SnsSink()), logs.address)
        rounds = 0
        for rounds in range(1, ROUNDS + 1):
            for row in random.sample(all_rows, len(all_rows)):
                taken[row.name].append(measure(row, rig, rounds))
            known = ratios(taken, MATCH, CALL, "all") if MATCH in taken else []
            width = spread(known) / statistics.median(known) if len(known) > 2 else float("inf")
            print(f"round {rounds}" + (f": the ratio has a spread of {width:.0%}" if len(known) > 2 else ""), flush=True)
            if width < ENOUGH and rounds * 3 >= ROUNDS:
                break
    names = [row.name for row in all_rows]
    tables = [table(taken, [row.name for row in each if row.name in names]) for each in (main_rows, more_rows)]
    print("\n\n".join(tables))
    of_lua = [row.name for row in main_rows if "another" in row.name and row.name in taken]
    if LUA in taken:
        for name in of_lua:
            print(f"{name}: {statistics.median(ratios(taken, name, LUA, 'all') or [0.0]):.2f} of {LUA}")
    if ROUNDS > 2 and not wanted:
        write(tables, rounds)


if __name__ == "__main__":
    main()
