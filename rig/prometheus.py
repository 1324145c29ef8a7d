"""Prometheus, as Debian packages it: its command for rules, and a server that scrapes what the rig has started.

What is not installed is unpacked from the package into the project's folder, which needs no rights and starts no service.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from . import PROJECT
from .http import Address, send
from .process import ServerProcess

_UNPACKED = PROJECT / ".run" / "prometheus"


class Unavailable(Exception):
    """Prometheus is neither here nor to be had."""


def binary(name: str) -> str:
    """The path of `prometheus` or `promtool`."""
    if installed := shutil.which(name):
        return installed
    unpacked = _UNPACKED / "usr" / "bin" / name
    if not unpacked.exists():
        _unpack()
    return str(unpacked)


def _unpack() -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Unavailable("Prometheus is not installed, and there is no apt-get to bring it")
    # Beside the place where it is looked for, so that it is there whole or not at all, whoever else unpacks it.
    aside = _UNPACKED.with_name(f"{_UNPACKED.name}-{os.getpid()}")
    aside.mkdir(parents=True)
    try:
        if not _download(aside):
            as_root = [] if os.getuid() == 0 else ["sudo", "-n"]
            subprocess.run([*as_root, "apt-get", "update", "-qq"], check=False, capture_output=True)
            if not _download(aside):
                raise Unavailable("Prometheus is not installed, and apt-get does not find its package")
        (package,) = aside.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, aside], check=True)
        package.unlink()
        try:
            aside.rename(_UNPACKED)
        except OSError:
            # Somebody else was faster.
            assert _UNPACKED.exists()
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _download(folder: Path) -> bool:
    done = subprocess.run(["apt-get", "download", "-qq", "prometheus"], cwd=folder, check=False, capture_output=True)
    return done.returncode == 0 and any(folder.glob("*.deb"))


class Prometheus(ServerProcess):
    """A server that scrapes `targets`, each by a job of its name. Ready when constructed."""

    def __init__(
        self,
        directory: Path,
        targets: dict[str, tuple[Address, str]],
        address: Address,
        interval: str = "5s",
        relabel: dict[str, list[dict[str, Any]]] | None = None,
        rules: list[Path] | None = None,
    ):
        jobs = [
            {
                "job_name": name,
                "metrics_path": path,
                "static_configs": [{"targets": [f"{host}:{port}"]}],
                "metric_relabel_configs": (relabel or {}).get(name, []),
            }
            for name, ((host, port), path) in targets.items()
        ]
        config = {
            "global": {"scrape_interval": interval, "evaluation_interval": interval},
            "rule_files": [str(path) for path in rules or []],
            "scrape_configs": jobs,
        }
        path = directory / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        self.address = address
        super().__init__(
            [
                binary("prometheus"),
                f"--config.file={path}",
                f"--storage.tsdb.path={directory / 'prometheus-data'}",
                f"--web.listen-address={address[0]}:{address[1]}",
                "--log.level=warn",
            ],
            directory / "prometheus.log",
        )
        self.wait_for_page(address, "/-/ready")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that it finds now; an AssertionError with Prometheus' words if it understands nothing."""
        reply = json.loads(send(self.address, "GET", f"/api/v1/query?{urlencode({'query': expression})}").body)
        assert reply["status"] == "success", (expression, reply)
        return reply["data"]["result"]
