"""deploy/observability: alerts that sound when they should, and panels whose queries find something in a real Prometheus."""

import json
import re
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from rig import LOOPBACK, PROJECT
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import ANY_CREDENTIALS, MISSION_PUT
from rig.http import Address, send, unused_address
from rig.profile_service import ProfileService
from rig.prometheus import Prometheus, Unavailable, binary
from rig.sns_sink import SnsSink
from rig.waiting import wait_for
from scripts.observability import FOLDER, files, kong

HOSTS = ["envoy", "kong"]
# Longer than all tests of this file take: an event counts for each of them.
RATE_INTERVAL = "1h"
ISTIO = PROJECT / "deploy" / "kubernetes" / "istio" / "README.md"

# The table that the filter's own tests hold to its metrics: names to kinds and labels.
DEFINED = {
    name: (kind, label)
    for name, kind, label in re.findall(
        r"^\| `(retrohook_\w+)` \| (\w+) \| `?(\w*)`? \|", (PROJECT / "docs" / "metrics.md").read_text(), re.MULTILINE
    )
}


@pytest.fixture(scope="module")
def promtool() -> str:
    try:
        return binary("promtool")
    except Unavailable as why:
        pytest.skip(str(why))


def alerts(host: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / f"alerts-{host}.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels(host: str) -> list[dict[str, Any]]:
    return [each for each in json.loads((FOLDER / f"dashboard-{host}.json").read_text())["panels"] if "targets" in each]


def queries(host: str) -> list[str]:
    return [each["expr"] for each in alerts(host)] + [each["expr"] for panel in panels(host) for each in panel["targets"]]


def test_the_files_are_those_that_the_script_writes() -> None:
    for name, text in files().items():
        assert (FOLDER / name).read_text() == text, "run scripts/observability.py"


def test_each_metric_is_one_that_the_filter_defines_and_has_the_labels_that_are_asked_for() -> None:
    named = set()
    for query in queries("envoy"):
        for metric, selector in re.findall(r"(retrohook_\w+)(\{[^}]*\})?", query):
            name = metric.removesuffix("_bucket")
            kind, label = DEFINED[name]
            named.add(name)
            assert (metric != name) == (kind == "histogram"), query
            assert ("rate(" in query or "increase(" in query) == (kind != "gauge"), query
            asked = set(re.findall(r"(\w+)=~?", selector)) - {"instance"}
            assert asked <= {label} - {""}, query
    # What is neither lost nor late may be left out.
    assert set(DEFINED) - named <= {
        "retrohook_paths_too_long_total", "retrohook_attributes_left_out_total", "retrohook_bodies_left_out_total",
        "retrohook_refused_calls_total", "retrohook_responses_unheld_total", "retrohook_build_info",
    }  # fmt: skip


def test_kong_s_names_are_those_of_its_documentation() -> None:
    page = (PROJECT / "docs" / "kong.md").read_text()
    rows = re.findall(r"^\| `(retrohook_\w+?)_(REASON|OUTCOME)_total` \| `(\w+)\{(\w+)=\"\w+\"\}` \|$", page, re.MULTILINE)
    assert len(rows) == 3
    documented = {prefix: (name, label) for prefix, _, name, label in rows}
    for name in DEFINED:
        found = next((prefix for prefix in documented if name.startswith(f"{prefix}_")), None)
        expected = f"pw_retrohook_{name}"
        if found:
            short, label = documented[found]
            expected = f'{short}{{{label}="{name.removeprefix(f"{found}_").removesuffix("_total")}"}}'
        assert kong(name) == expected
    assert kong('sum(rate(retrohook_callouts_ok_total{a="b"}[5m]))') == (
        'sum(rate(pw_retrohook_retrohook_callouts{outcome="ok", a="b"}[5m]))'
    )


@pytest.mark.parametrize("host", HOSTS)
def test_promtool_takes_the_rules(promtool: str, host: str) -> None:
    done = subprocess.run([promtool, "check", "rules", FOLDER / f"alerts-{host}.yaml"], capture_output=True, text=True)
    assert done.returncode == 0 and f"SUCCESS: {len(alerts(host))} rules found" in done.stdout, done.stdout + done.stderr


def test_each_alert_says_where_to_read_on() -> None:
    for alert in alerts("envoy"):
        page, _, anchor = alert["annotations"]["runbook"].partition("#")
        headings = re.findall(r"^#+ (.+)$", (PROJECT / page).read_text(), re.MULTILINE)
        assert not anchor or anchor in {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}, alert


TARGET = {"target": "orders"}


def trial(alert: str, series: dict[str, str], quiet: str, loud: str, value: str, over: str = "", **labels: str) -> dict[str, Any]:
    """Samples, one a minute: when the alert is still silent, when it sounds and what it says then, and when it is over."""
    return {"alert": alert, "series": series, "quiet": quiet, "loud": loud, "value": value, "over": over, "labels": labels}


def lost(alert: str, metric: str, **labels: str) -> dict[str, Any]:
    """Three at once, which is in the alert for as long as the window of ten minutes. Others of another target were never lost."""
    label = ', target="orders"' if "target" in labels else ""
    other = ', target="profiles"' if "target" in labels else ""
    series = {f'retrohook_{metric}_total{{instance="a"{label}}}': "0x4 3x25"}
    if other:
        series[f'retrohook_{metric}_total{{instance="a"{other}}}'] = "5x29"
    return trial(alert, series, "4m", "6m", "", "20m", **labels)


TRIALS = [
    trial(
        "RetrohookTargetRefuses",
        {
            'retrohook_targets_refused{instance="a", target="orders"}': "0 1x4 0x20",
            'retrohook_targets_refused{instance="a", target="profiles"}': "0 1 0x20",
        },
        "2m", "3m", "1", "8m", severity="critical", **TARGET,
    ),
    trial(
        "RetrohookEventsLate",
        {
            'retrohook_oldest_entry_age_seconds{instance="a", target="orders"}': "0 30 61 90 120 0x20",
            'retrohook_oldest_entry_age_seconds{instance="a", target="profiles"}': "0 60x20",
        },
        "3m", "4m", "2m 0s", "6m", severity="warning", **TARGET,
    ),
    trial(
        "RetrohookQueueFills",
        {
            'retrohook_queued_entries{instance="a", target="orders"}': "0 6000x8 0x20",
            'retrohook_queued_entries{instance="a", target="profiles"}': "0 3000x20",
            'retrohook_queued_entries{instance="b", target="profiles"}': "0 3000x20",
        },
        "2m", "3m", "6000", "10m", severity="warning", instance="a", **TARGET,
    ),
    *(
        lost("RetrohookEventsLost", f"events_dropped_{each}", severity="critical", reason=each, **TARGET)
        for each in ("queue_full", "expired", "refused", "too_large", "orphaned")
    ),
    lost("RetrohookResponsesWithoutEvent", "responses_undelivered", severity="warning", **TARGET),
    lost("RetrohookJournalFails", "journal_failures", severity="warning", **TARGET),
    lost("RetrohookEventsLost", "events_dropped_shutdown", severity="critical", reason="shutdown"),
    lost("RetrohookDeadLettersLost", "dead_letters_left_out", severity="critical"),
    *(
        lost("RetrohookWebhooksRefused", f"captures_refused_{each}", severity="critical", reason=each)
        for each in ("unstored", "busy", "crowded", "no_memory", "unreadable")
    ),
    trial(
        "RetrohookWebhooksUnverified",
        {
            'retrohook_captures_stored_total{instance="a"}': "0+60x90",
            'retrohook_captures_unverified_total{instance="a"}': "0+10x20 210+60x70",
            'retrohook_captures_refused_unverified_total{instance="a"}': "0x90",
        },
        "20m", "60m", "", severity="warning",
    ),
]  # fmt: skip


def expected(host: str, trial: dict[str, Any], value: str) -> dict[str, Any]:
    """The alert as it has to be, its annotations filled in."""

    def filled(text: str) -> str:
        text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: trial["labels"].get(match[1], ""), text)
        return re.sub(r"\{\{ [^}]*\$value \}\}", value, text)

    (rule,) = (
        each
        for each in alerts(host)
        if each["alert"] == trial["alert"] and each["labels"].items() <= trial["labels"].items()
    )
    annotations = {name: filled(text) for name, text in rule["annotations"].items()}
    return {"exp_labels": trial["labels"], "exp_annotations": annotations}


@pytest.mark.parametrize("host", HOSTS)
def test_an_alert_sounds_when_it_should_and_at_no_other_time(promtool: str, tmp_path: Path, host: str) -> None:
    named = kong if host == "kong" else str
    tests = []
    for each in TRIALS:
        value = each["value"] or "3"
        times: dict[str, list[dict[str, Any]]] = {each["quiet"]: [], each["loud"]: [expected(host, each, value)]}
        if each["over"]:
            times[each["over"]] = []
        at = [{"alertname": each["alert"], "eval_time": time, "exp_alerts": found} for time, found in times.items()]
        series = [{"series": named(name), "values": values} for name, values in each["series"].items()]
        tests.append({"interval": "1m", "input_series": series, "alert_rule_test": at})
    path = tmp_path / "trials.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(FOLDER / f"alerts-{host}.yaml")], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {(each["alert"], each["labels"].get("reason")) for each in TRIALS} == {
        (each["alert"], each["labels"].get("reason")) for each in alerts(host)
    }, "each has its trial"


class Exposed:
    """A server with a page of metrics, such as Kong has."""

    path = "/metrics"

    def __init__(self) -> None:
        outer = self
        self.page = ""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(outer.page.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.address: Address = self._server.server_address[:2]  # type: ignore[assignment]
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> "Exposed":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def exposition(envoy: Envoy) -> str:
    """Samples without types, which are one for each name and would stand twice in Kong's."""
    lines = envoy.admin_get("/stats/prometheus").splitlines()
    return "\n".join(line for line in lines if line.startswith("retrohook_")) + "\n"


def in_istio(page: str) -> str:
    """The same of an Envoy without a tag: the target is the end of the name, in letters that Prometheus takes."""

    def named(match: re.Match[str]) -> str:
        target = re.sub(r"\W", "_", match[3])
        name = re.sub(r"(_bucket|_sum|_count)?$", rf"_target_{target}\1", match[1], count=1)
        return f"{name}{{{match[2] or ''}{match[4] or ''}}}"

    return re.sub(r'^(\w+)\{([^}]*?,)?target="([^"]*)"(?:,([^}]*))?\}', named, page, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def prometheus(wasm: Path, profile_service: ProfileService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Scrapes an Envoy with the filter, and the same by the names that it has in Kong and in Istio; its last events are refused."""
    directory = tmp_path_factory.mktemp("prometheus")
    config = EnvoyConfig("http-filter", wasm)
    config.aim_service(profile_service.address)
    relabel = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", ISTIO.read_text().replace("\n  ", "\n"), re.DOTALL)[0])
    with SnsSink() as sns, Exposed() as of_kong, Exposed() as of_istio:
        config.aim_aws(sns.address)
        with Envoy(config.write(directory / "envoy.yaml"), ANY_CREDENTIALS.environment()) as envoy:
            targets = {
                "envoy": (envoy.admin, "/stats/prometheus"),
                "kong": (of_kong.address, Exposed.path),
                "istio": (of_istio.address, Exposed.path),
            }
            try:
                server = Prometheus(directory, targets, unused_address(), "500ms", {"istio": relabel["metric_relabel_configs"]})
            except Unavailable as why:
                pytest.skip(str(why))
            with server:

                def counted() -> bool:
                    send(envoy.address_of(), *MISSION_PUT)
                    of_kong.page = kong(exposition(envoy))
                    of_istio.page = in_istio(exposition(envoy))
                    published = f"rate({{__name__=~'.*retrohook_events_published_total'}}[{RATE_INTERVAL}]) > 0"
                    return len(server.query(published)) == 3

                wait_for(counted, "three rates of events")
                yield server


def filled_in(expression: str, instance: str, target: str) -> str:
    return expression.replace("$instance", instance).replace("$target", target).replace("$__rate_interval", RATE_INTERVAL)


@pytest.mark.parametrize("host", ["envoy", "kong", "istio"])
def test_each_panel_and_each_alert_finds_its_series(prometheus: Prometheus, host: str) -> None:
    (instance,) = {each["metric"]["instance"] for each in prometheus.query(f'up{{job="{host}"}}')}
    named = "kong" if host == "kong" else "envoy"
    target = "profile_events" if host == "istio" else "profile-events"
    for panel in panels(named):
        for each in panel["targets"]:
            query = filled_in(each["expr"], instance, ".*")
            found = prometheus.query(query)
            assert found, (panel["title"], query)
            if "{{target}}" in each["legendFormat"]:
                assert {series["metric"].get("target") for series in found} == {target}, query
    for alert in alerts(named):
        # Without what it compares with.
        expression = alert["expr"].partition(" > ")[0]
        assert prometheus.query(expression), expression
    for variable in json.loads((FOLDER / f"dashboard-{named}.json").read_text())["templating"]["list"][1:]:
        metric, label = re.findall(r"label_values\((.+), (\w+)\)", variable["query"])[0]
        assert prometheus.query(f"group by ({label}) ({metric})"), variable


def test_what_was_published_is_what_a_panel_shows(prometheus: Prometheus) -> None:
    (panel,) = (each for each in panels("envoy") if each["title"] == "Published")
    query = filled_in(panel["targets"][0]["expr"], ".*", "profile-events")
    (series,) = prometheus.query(query)
    assert series["metric"] == {"target": "profile-events"} and float(series["value"][1]) > 0
