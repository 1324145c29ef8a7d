"""What an operator's Prometheus gets from Envoy."""

import re
from pathlib import Path

from rig import PROJECT
from rig.gateway import MISSION_PUT, StartGateway
from rig.http import send
from rig.lives import ReloadableGateway, trap
from rig.release import version
from rig.sns_answers import Answer, acknowledge, error, first
from rig.sns_request import SnsRequest
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

DOCUMENTATION = (PROJECT / "docs" / "metrics.md").read_text()


def test_every_metric_is_there_with_its_type(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    envoy = start_gateway(way, sink.address)
    send(envoy.address_of(), *MISSION_PUT)
    sink.wait_for_events(1)
    # Envoy shows a histogram only after it has merged the workers' shares, which it does by a timer.
    wait_for(lambda: envoy.metric("retrohook_delivery_milliseconds_count") == 1, "the histogram to be merged")
    kinds = dict(re.findall(r"^# TYPE retrohook_(\w+) (\w+)$", envoy.admin_get("/stats/prometheus"), re.MULTILINE))
    # The table that the filter's own tests hold to its metrics.
    documented = dict(re.findall(r"^\| `retrohook_(\w+)` \| (\w+) \|", DOCUMENTATION, re.MULTILINE))
    assert len(documented) > 20 and kinds == documented


def test_it_and_the_log_say_which_version_runs(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    envoy = start_gateway(way, sink.address, workers=2)
    send(envoy.address_of(), *MISSION_PUT)
    sink.wait_for_events(1)
    infos = re.findall(r"^retrohook_build_info.*", envoy.admin_get("/stats/prometheus"), re.MULTILINE)
    assert infos == [f'retrohook_build_info{{version="{version()}"}} 1'], "one for all workers"
    first = next(line for line in envoy.log().splitlines() if "wasm log" in line)
    assert first.endswith(f"Retrohook {version()} starts")


def test_of_two_targets_it_shows_which_is_down(
    start_gateway: StartGateway, sink: SnsSink, way: str, tmp_path: Path
) -> None:
    """Over four workers, a trap, and new configurations that have a third target for a while."""

    def answer(request: SnsRequest) -> Answer:
        return (error(403, "AuthorizationError") if b"%3Aorders.fifo" in request.body else acknowledge)(request)

    sink.answers = answer
    topic = "arn:aws:sns:us-east-1:123456789012:"
    routes = [
        {"method": "PUT", "matcher": "mockbin/profile"},
        {"method": "PUT", "matcher": "/order/profile", "topic_arn": f"{topic}orders.fifo", "message_group_id": "${request.method}"},
    ]
    bills = {"method": "PUT", "matcher": "/bill/profile", "topic_arn": f"{topic}bills"}
    settings = {"topic_arn": f"{topic}profiles", "routes": routes, "may_trap": True, "workers": 4}
    gateway = ReloadableGateway(start_gateway, tmp_path, way, sink.address, **settings)
    envoy = gateway.envoy

    def shown(name: str) -> dict[str, float]:
        return {target: envoy.metric(f"retrohook_{name}", target) for target in ("profiles", "orders.fifo")}

    for round_, life in enumerate(["the start", "a third target", "two targets again", "a trap"], 1):
        if life == "a trap":
            trap(envoy)
        else:
            gateway.reload(routes=[*routes, bills] if life == "a third target" else routes)
        for path in ["/mockbin/profile"] * 4 + ["/mockbin/order/profile"] * 3:
            wait_for(lambda path=path: send(envoy.address_of(), "PUT", path).status == 200, "a VM")
        expected = {
            "events_published_total": {"profiles": 4 * round_, "orders.fifo": 0},
            "queued_entries": {"profiles": 0, "orders.fifo": 3 * round_},
            "targets_refused": {"profiles": 0, "orders.fifo": 1},
        }
        for name, values in expected.items():
            wait_for(lambda name=name, values=values: shown(name) == values, f"{name} after {life}")
    assert envoy.metric("retrohook_events_matched_total", "bills") == 0
    assert "retrohook_events_matched_total_target" not in envoy.admin_get("/stats/prometheus")


def test_the_counters_tell_what_happened(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    sink.answers = first(1, error(500))
    # They go together when there are three of them, however long that takes, and at once when they come back one by one.
    envoy = start_gateway(way, sink.address, batch={"max_entries": 3, "max_delay_ms": 60_000})
    for _ in range(3):
        send(envoy.address_of(), *MISSION_PUT)
    # The worker tells what it matched, and the sender what it published, each at a tick of its own.
    for name in ("published", "matched"):
        wait_for(lambda name=name: envoy.metric(f"retrohook_events_{name}_total") == 3, f"three {name} events")
    metrics = envoy.metrics()
    counted = {name.removeprefix("retrohook_").removesuffix("_total"): value for name, value in metrics.items()}
    assert counted["events_matched"] == 3
    assert counted["events_retried"] == 3
    # Each entry waits by a dice of its own, so that they may come back in several calls.
    assert 1 <= counted["callouts_ok"] <= 3
    assert counted["callouts_error"] == 1
    assert counted["callouts_no_reply"] == 0
    assert counted["queued_entries"] == 0
    assert counted["queued_bytes"] == 0
    assert counted["oldest_entry_age_seconds"] == 0


def test_the_gauges_show_a_queue_that_waits(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    sink.answers = error(500)
    envoy = start_gateway(way, sink.address)
    for _ in range(3):
        send(envoy.address_of(), *MISSION_PUT)
    wait_for(lambda: envoy.metric("retrohook_oldest_entry_age_seconds") >= 1, "the oldest entry to age")
    wait_for(lambda: envoy.metric("retrohook_queued_entries") == 3, "three entries to be queued")
    assert envoy.metric("retrohook_queued_bytes") > 3 * 500
