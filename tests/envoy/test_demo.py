"""The demo and its longer form run to their ends and leave nothing running, and what the longer form tells to do can be done."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from rig import LOOPBACK, PROJECT
from rig.http import send
from rig.process import ServerProcess
from rig.waiting import wait_for


def start(script: str, wasm: Path, log_path: Path, *arguments: str, **environment: str) -> ServerProcess:
    """As a shell starts it in the background: with SIGINT ignored."""
    environment = {"RETROHOOK_WASM": str(wasm), "PYTHONUNBUFFERED": "1", **environment}
    in_the_background = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    command = [sys.executable, str(PROJECT / "scripts" / script), *arguments]
    return ServerProcess([*in_the_background, *command], log_path, environment)


def servers_of(pid: int) -> list[int]:
    """The children of a process."""
    children = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the name, which may have any characters in it: state and parent.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            children.append(int(stat.parent.name))
    return children


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_demo_shows_the_whole_story(wasm: Path, tmp_path: Path) -> None:
    with start("demo.py", wasm, tmp_path / "demo.log") as demo:
        demo.wait_for_log("What the client pays")
        servers = servers_of(demo.pid)
        assert demo.wait_for_exit(300) == 0, demo.log()
    shown = demo.log()
    pages = re.findall(r'GET the page .*"version": (\d+),.*\(cache (\w+)\)', shown)
    assert pages == [("1", "miss"), ("1", "hit"), ("2", "miss"), ("2", "hit")]
    assert re.search(r"event \S+ PUT /mockbin/profile 200", shown), "the worker has it"
    assert re.search(r"the receiver +POST /in, event [0-9a-f-]{36}; standardwebhooks says: a good signature", shown)
    assert re.search(r"ratio +\d+\.\d\d +\d+\.\d\d", shown)
    answers = re.findall(r"POST /webhook (evt_\d).* (\d{3}),", shown)
    assert answers[:2] == [("evt_1", "200"), ("evt_2", "503")] and answers[-1] == ("evt_2", "200")
    assert re.findall(r"the worker +webhook [0-9a-f]{64} '(evt_\d)'", shown) == ["evt_1", "evt_2"], "each once"
    assert len(servers) == 5
    assert not any(map(is_running, servers))


@contextmanager
def taken(port: int) -> Iterator[None]:
    """The port is somebody's: the test's, or of whoever has it for longer than a moment."""

    def bound() -> socket.socket | None:
        try:
            return socket.create_server((LOOPBACK, port))
        except OSError:
            return None

    try:
        server = wait_for(bound, f"port {port}", timeout=5)
    except AssertionError:
        yield
        return
    with server:
        yield


def curl_lines(text: str) -> list[str]:
    """The commands that a reader would copy."""
    return re.findall(r"^  (curl .+)$", text, re.MULTILINE)


def run(line: str) -> str:
    """What a terminal would show of a command."""
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, cwd=PROJECT)
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    return done.stdout


FIXED = {"SNS and SQS": 5000, "the gateway": 8000, "the gateway for webhooks": 8002, "the callback app": 8080, "Prometheus": 9090, "Grafana": 3000}

# Says what it was started with, as far as a page of Grafana's would show.
STAND_IN_FOR_GRAFANA = f"""#!{sys.executable}
import http.server, os, pathlib
folder = pathlib.Path(os.environ["GF_PATHS_PROVISIONING"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"".join(path.read_bytes() for path in sorted(folder.rglob("*.yaml"))))
    def log_message(self, *_): pass
address = (os.environ["GF_SERVER_HTTP_ADDR"], int(os.environ["GF_SERVER_HTTP_PORT"]))
http.server.HTTPServer(address, Handler).serve_forever()
"""


def look_at(shown: str) -> None:
    """Prometheus has the shipped alerts and both gateways, and Grafana is told of Prometheus and of the shipped dashboards."""
    prometheus, grafana = re.findall(r"^  (?:Prometheus|Grafana) +(http://[\d.:]+)", shown, re.MULTILINE)
    targets = f"curl -s '{prometheus}/api/v1/query?query=up'"
    scraped = re.compile(r'"job":"(\w+)"},"value":\[[\d.]+,"1"')
    wait_for(lambda: set(scraped.findall(run(targets))) == {"events", "webhooks"}, "both to be scraped")
    assert "RetrohookTargetRefuses" in run(f"curl -s {prometheus}/api/v1/rules")
    provisioned = run(f"curl -s {grafana}/api/health")
    assert f"url: {prometheus}" in provisioned and f"path: {PROJECT / 'deploy' / 'observability'}" in provisioned


def test_up_prints_commands_that_do_what_it_says(wasm: Path, tmp_path: Path) -> None:
    grafana = tmp_path / "bin" / "grafana"
    grafana.parent.mkdir()
    grafana.write_text(STAND_IN_FOR_GRAFANA)
    grafana.chmod(0o755)
    path = f"{grafana.parent}:{os.environ['PATH']}"
    with taken(FIXED["the gateway"]), start("up.py", wasm, tmp_path / "up.log", "--dashboard", PATH=path) as up:
        up.wait_for_log("Ctrl-C stops")
        assert f"port {FIXED['the gateway']} is taken: the gateway has a free one" in up.log()
        # Others of this machine may have others.
        shown = {int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", up.log())}
        missing = {name for name, port in FIXED.items() if port not in shown}
        assert missing == {name for name in FIXED if f"is taken: {name} has" in up.log()}
        look_at(up.log())
        page, change, failing, no_put, without_retrohook, webhook, metrics = curl_lines(up.log())
        (logs,) = re.findall(r"^  tail -f (.+)$", up.log(), re.MULTILINE)

        assert "x-cache: miss" in run(page) and "x-cache: hit" in run(page)
        assert json.loads(run(change)) == {"version": 2, "profile": {"foo": "bar"}}
        expired = r"expired \S+ by event (\S+)"
        expiry = wait_for(lambda: re.search(expired, run(f"cat {logs}")), "the cache to hear of it")
        renewed = run(page)
        assert "x-cache: miss" in renewed and '"version": 2' in renewed
        wait_for(lambda: f"event {expiry[1]} PUT /mockbin/profile 200" in run(f"cat {logs}"), "the worker to have it")

        for line, status in [(failing, 503), (no_put, 200), (without_retrohook, 200)]:
            assert run(line).startswith(f"HTTP/1.1 {status} "), line
        # One worker's events stay in order: once this one is there, the others can no longer come.
        run(change)
        wait_for(lambda: len(re.findall(expired, run(f"cat {logs}"))) == 2, "the cache to hear of the next change")
        for what in ("matched", "published"):
            counted = re.compile(rf"^retrohook_events_{what}_total\{{.*\}} 2$", re.MULTILINE)
            wait_for(lambda counted=counted: counted.search(run(metrics)), f"two events to be counted as {what}")

        signed = re.search(r"^  body=.+\n  signature=.+$", up.log(), re.MULTILINE)
        assert run(f"{signed[0]}\n{webhook}").startswith("HTTP/1.1 200 ")
        wait_for(lambda: re.search(r"^webhook \S+ 'evt_1'", run(f"cat {logs}"), re.MULTILINE), "its worker to have it")

        servers = servers_of(up.pid)
        os.kill(up.pid, signal.SIGINT)
        assert up.wait_for_exit() == 0, up.log()
    assert len(servers) == 9
    assert not any(map(is_running, servers))


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "application/json"}, '{"foo":"bar"}'),
        ({}, '{"foo":"bar"}'),
        ({}, None),
        ({"user-agent": "another", "accept": "text/plain", "x-odd": "~*"}, None),
    ],
)
def test_the_rig_sends_what_curl_sends(headers: dict[str, str], body: str | None) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        address = server.getsockname()
        fields = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
        data = [] if body is None else ["-d", body]
        url = f"http://{address[0]}:{address[1]}/mockbin/profile"
        with subprocess.Popen(["curl", "-s", "-X", "PUT", url, *fields, *data]):
            by_curl = receive(server, body)
        with ThreadPoolExecutor() as pool:
            pool.submit(send, address, "PUT", "/mockbin/profile", headers, body)
            by_the_rig = receive(server, body)
    assert by_the_rig == re.sub(rb"curl/[\d.]+", b"curl/7.88.1", by_curl)


def receive(server: socket.socket, body: str | None) -> bytes:
    """One request, which is answered."""
    connection, _ = server.accept()
    with connection:
        received = b""
        while not received.endswith(b"\r\n\r\n" + (body or "").encode()):
            received += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    return received
