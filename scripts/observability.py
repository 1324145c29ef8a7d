"""Writes what deploy/observability has: a dashboard for Envoy and one for Kong, and Kong's alerts, which are Envoy's by other names.

Kong's names come from kong/retrohook.meta.json: it makes labels of parts of a name, and puts a prefix before the rest.
"""

import json
import re
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
FOLDER = PROJECT / "deploy" / "observability"

_LABELS = [
    (each["label"], re.compile(each["pattern"]))
    for each in json.loads((PROJECT / "kong" / "retrohook.meta.json").read_text())["metrics"]["label_patterns"]
]
_SELECTOR = re.compile(r"\b(?<!pw_)(retrohook_[a-z_]+)\b(?:\{([^}]*)\})?")

# What becomes of events and of webhooks: the end of a metric's name, and what a legend says.
LOSSES = ["queue_full", "expired", "refused", "too_large", "withdrawn", "orphaned", "shutdown"]
CALLS = ["ok", "error", "no_reply"]
REFUSALS = [
    "unstored", "busy", "crowded", "no_memory", "too_large", "unverified", "unreadable", "silent", "slow", "misspelled",
]  # fmt: skip


def kong(text: str) -> str:
    """The same queries, or samples, by the names that Kong gives the metrics."""

    def named(match: re.Match[str]) -> str:
        name, labels = match[1], [match[2]] if match[2] else []
        for label, pattern in _LABELS:
            if found := pattern.search(name):
                name = name[: found.start(1)] + name[found.end(1) :]
                labels.insert(0, f'{label}="{found[2]}"')
        return f"pw_retrohook_{name}" + (f"{{{', '.join(labels)}}}" if labels else "")

    return _SELECTOR.sub(named, text)


def rates(title: str, *counters: tuple[str, str], by: str = "", unit: str = "ops", stack: bool = False) -> dict[str, Any]:
    """A panel of counters, each with its legend."""
    return panel(title, [(f"sum{_by(by)} (rate({name}{_where(by)}[$__rate_interval]))", legend) for name, legend in counters], unit, stack)


def levels(title: str, name: str, unit: str = "short", how: str = "sum") -> dict[str, Any]:
    """A panel of a gauge, a line for each target."""
    return panel(title, [(f"{how}{_by('target')} ({name}{_where('target')})", "{{target}}")], unit)


def times(title: str, name: str, by: str = "") -> dict[str, Any]:
    """A panel of a histogram: the median and the slowest percent."""
    inner = f"sum by ({', '.join(filter(None, ['le', by]))}) (rate({name}_bucket{_where(by)}[$__rate_interval]))"
    legend = "{{target}} " if by else ""
    return panel(title, [(f"histogram_quantile({q}, {inner})", f"{legend}p{q * 100:g}") for q in (0.5, 0.99)], "ms")


def panel(title: str, queries: list[tuple[str, str]], unit: str, stack: bool = False) -> dict[str, Any]:
    custom: dict[str, Any] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
    if stack:
        custom |= {"fillOpacity": 60, "stacking": {"mode": "normal", "group": "A"}}
    return {
        "title": title,
        "type": "timeseries",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "targets": [
            {"refId": f"Q{i}", "expr": query, "legendFormat": legend} for i, (query, legend) in enumerate(queries)
        ],
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    }


def _by(label: str) -> str:
    return f" by ({label})" if label else ""


def _where(label: str) -> str:
    target = ', target=~"$target"' if label else ""
    return f'{{instance=~"$instance"{target}}}'


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": query,
        "definition": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        # One that has no label is there as well.
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


ROWS: list[tuple[str, list[dict[str, Any]]]] = [
    (
        "Events",
        [
            rates("Published", ("retrohook_events_published_total", "{{target}}"), by="target"),
            levels("Age of the oldest", "retrohook_oldest_entry_age_seconds", "s", "max"),
            levels("Queued", "retrohook_queued_entries"),
            levels("Targets that refuse", "retrohook_targets_refused", how="max"),
            rates("Lost", *((f"retrohook_events_dropped_{each}_total", each) for each in LOSSES), stack=True),
            rates("Dead letters", ("retrohook_dead_letters_stored_total", "in their queue"), ("retrohook_dead_letters_left_out_total", "left out")),
            rates("Matched", ("retrohook_events_matched_total", "{{target}}"), by="target"),
            rates("Tried again", ("retrohook_events_retried_total", "{{target}}"), by="target"),
            rates("Calls", *((f"retrohook_callouts_{each}_total", each) for each in CALLS)),
            times("Time to the acknowledgement", "retrohook_delivery_milliseconds", "target"),
            levels("Queued bytes", "retrohook_queued_bytes", "bytes"),
            rates("Journal", ("retrohook_events_adopted_total", "taken over"), ("retrohook_journal_failures_total", "not kept")),
        ],
    ),
    (
        "Webhooks",
        [
            rates(
                "By outcome",
                ("retrohook_captures_stored_total", "stored"),
                ("retrohook_captures_challenged_total", "challenged"),
                ("retrohook_captures_abandoned_total", "abandoned"),
                *((f"retrohook_captures_refused_{each}_total", f"refused: {each}") for each in REFUSALS),
                stack=True,
            ),
            rates("Signatures", ("retrohook_captures_unverified_total", "marked"), ("retrohook_captures_refused_unverified_total", "refused")),
            rates("Tried again while the sender waits", ("retrohook_captures_retried_total", "attempts")),
            times("Time to the answer", "retrohook_capture_milliseconds"),
        ],
    ),
]  # fmt: skip


def dashboard() -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append({"title": title, "type": "row", "collapsed": False, "panels": [], "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})
        y += 1
        for i, each in enumerate(row):
            panels.append({**each, "gridPos": {"x": i % 3 * 8, "y": y + i // 3 * 8, "w": 8, "h": 8}})
        y += (len(row) + 2) // 3 * 8
    return {
        "title": "Retrohook",
        "uid": "retrohook-envoy",
        "tags": ["retrohook"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "current": {}},
                _variable("instance", "label_values(retrohook_callouts_ok_total, instance)"),
                _variable("target", "label_values(retrohook_events_matched_total, target)"),
            ]
        },
        "panels": [{"id": i, **each} for i, each in enumerate(panels, 1)],
    }


def in_kong(node: Any) -> Any:
    """A dashboard with the names that Kong gives the metrics in each of its queries."""
    if isinstance(node, dict):
        return {key: kong(value) if key in ("expr", "query", "definition") and isinstance(value, str) else in_kong(value) for key, value in node.items()}
    return [in_kong(each) for each in node] if isinstance(node, list) else node


def files() -> dict[str, str]:
    """The files by their names."""
    envoy = dashboard()
    alerts = (FOLDER / "alerts-envoy.yaml").read_text()
    head = "# Alerts for Retrohook in Kong: alerts-envoy.yaml by other names, written by scripts/observability.py.\n"
    of_kong = {**in_kong(envoy), "uid": "retrohook-kong", "title": "Retrohook in Kong"}
    return {
        "dashboard-envoy.json": _json(envoy),
        "dashboard-kong.json": _json(of_kong),
        "alerts-kong.yaml": head + kong(re.sub(r"\A(#.*\n)+", "", alerts)),
    }


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1) + "\n"


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text)
