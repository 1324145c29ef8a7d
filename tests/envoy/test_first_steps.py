"""What envoy/README.md says to type from zero to the first event and to the first webhook, typed; only ports and folders are others."""

import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path
from textwrap import dedent

import yaml
from rig import LOOPBACK, PROJECT
from rig.envoy_config import EnvoyConfig
from rig.waiting import wait_for

PAGE = (PROJECT / "envoy" / "README.md").read_text()

# Lines of the workers.
EVENT = r"^event \S+ PUT /mockbin/profile 200$"
FIRST = r"^webhook \S+ 'first'"
UNVERIFIED = r"^not verified, set aside: \S+ 'no signature matches'"


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as server:
        return server.getsockname()[1]


class Walk:
    """A section of the page, on ports and in a folder of its own."""

    def __init__(self, title: str, folder: Path) -> None:
        self._steps = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
        self._folder = folder
        self._ports = {port: free_port() for port in (5000, 8000, 8080)}

    def blocks(self, language: str) -> list[str]:
        blocks = [dedent(block) for block in re.findall(rf"```{language}\n(.+?)```", self._steps, re.DOTALL)]
        return [self._there(block) for block in blocks]

    def _there(self, text: str) -> str:
        text = text.replace(".run", str(self._folder))
        for port, free in self._ports.items():
            text = re.sub(rf"(127\.0\.0\.1[: ]|-p |port_value: ){port}\b", rf"\g<1>{free}", text)
        return text

    def write(self, name: str, file: str, wasm: Path) -> None:
        """Has the shipped file with the changes of the page."""
        config = EnvoyConfig(name, wasm)
        vm, clusters = map(yaml.safe_load, self.blocks("yaml"))
        config.plugin["vm_config"].update(vm)
        config.plugin["vm_config"]["code"]["local"]["filename"] = str(wasm)
        (settings,) = self.blocks("json")
        config.configure_text(json.dumps(json.loads(settings)))
        config.document["static_resources"].update(clusters)
        (listener,) = config.document["static_resources"]["listeners"]
        listener["address"]["socket_address"]["port_value"] = self._ports[8000]
        (self._folder / file).write_text(yaml.dump(config.document))

    def type(self, *expected: str, again: str = "") -> str:
        """Types all of it, until the terminal has shown what is `expected`; returns what it and Envoy say."""
        make, start, send, read = self.blocks("sh")
        assert make.startswith("make wasm venv\n")
        envoy = ".venv/bin/envoy"
        # Without hot restart, Envoys on one machine do not meet in shared memory.
        start = start.replace(envoy, f"{envoy} --disable-hot-restart --concurrency 1")
        script = "\n".join([make.partition("\n")[2], start, send, again, read])
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        terminal = self._folder / "terminal.txt"
        with terminal.open("w") as output:
            shell = subprocess.Popen(
                ["bash", "-c", script], cwd=PROJECT, stdout=output, stderr=output, env=environment, start_new_session=True
            )
        try:
            for pattern in expected:
                wait_for(lambda pattern=pattern: re.search(pattern, terminal.read_text(), re.MULTILINE), pattern, 240)
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
            shell.wait()
        return f"{terminal.read_text()}\n{(self._folder / 'envoy.log').read_text()}"


def test_to_the_first_event(wasm: Path, tmp_path: Path) -> None:
    walk = Walk("From zero to the first event", tmp_path)
    walk.write("access-logger", "event.yaml", wasm)
    said = walk.type(EVENT)
    assert "event.yaml' OK" in said, said
    assert said.count("HTTP/1.1 200 OK") == 2, said
    assert len(re.findall(EVENT, said, re.MULTILINE)) == 1, said


def test_a_mistyped_key_is_named(wasm: Path, tmp_path: Path) -> None:
    walk = Walk("From zero to the first event", tmp_path)
    walk.write("access-logger", "event.yaml", wasm)
    file = tmp_path / "event.yaml"
    file.write_text(file.read_text().replace("matcher", "matchr"))
    check = walk.blocks("sh")[1].splitlines()[0]
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    done = subprocess.run(check.split(), cwd=PROJECT, env=keys, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0 and "routes[0].matchr: unknown key" in done.stderr and "`matcher`" in done.stderr, done.stderr


def test_to_the_first_webhook(wasm: Path, tmp_path: Path) -> None:
    walk = Walk("From zero to the first webhook", tmp_path)
    walk.write("capture", "first.yaml", wasm)
    # By a thread that comes first, the other delivery is the one that is being handled.
    said = walk.type(FIRST, r"^(done before|being handled): ", UNVERIFIED, again="send topsecret first")
    assert "first.yaml' OK" in said, said
    assert said.count("HTTP/1.1 200 OK") == 3 and said.count("x-retrohook-message-id: ") == 3, said
    assert len(re.findall(FIRST, said, re.MULTILINE)) == 1, said
    assert "without a good signature, stored with `verified: false`: no signature matches" in said
