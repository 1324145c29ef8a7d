"""Grafana, where it is installed, with the shipped dashboards and a Prometheus to ask."""

import os
import shutil
from pathlib import Path

import yaml

from . import PROJECT
from .http import Address
from .process import ServerProcess

DASHBOARDS = PROJECT / "deploy" / "observability"


def command() -> list[str] | None:
    """What starts it; None where it is not installed."""
    if new := shutil.which("grafana"):
        return [new, "server"]
    return [old] if (old := shutil.which("grafana-server")) else None


class Grafana(ServerProcess):
    """Whoever comes may look. Ready when constructed."""

    def __init__(self, directory: Path, starts: list[str], prometheus: Address, address: Address):
        provisioning = directory / "provisioning"
        source = {
            "name": "Prometheus",
            "type": "prometheus",
            "access": "proxy",
            "url": f"http://{prometheus[0]}:{prometheus[1]}",
            "isDefault": True,
        }
        provider = {"name": "Retrohook", "type": "file", "options": {"path": str(DASHBOARDS)}}
        for kind, content in {"datasources": {"datasources": [source]}, "dashboards": {"providers": [provider]}}.items():
            (provisioning / kind).mkdir(parents=True)
            (provisioning / kind / "retrohook.yaml").write_text(yaml.safe_dump({"apiVersion": 1, **content}))
        home = os.environ.get("GRAFANA_HOME", "/usr/share/grafana")
        self.address = address
        super().__init__(
            [*starts, "--homepath", home],
            directory / "grafana.log",
            {
                "GF_PATHS_DATA": str(directory / "data"),
                "GF_PATHS_LOGS": str(directory / "logs"),
                "GF_PATHS_PROVISIONING": str(provisioning),
                "GF_SERVER_HTTP_ADDR": address[0],
                "GF_SERVER_HTTP_PORT": str(address[1]),
                "GF_AUTH_ANONYMOUS_ENABLED": "true",
                "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(DASHBOARDS / "dashboard-envoy.json"),
                "GF_ANALYTICS_REPORTING_ENABLED": "false",
                "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            },
        )
        self.wait_for_page(address, "/api/health")
