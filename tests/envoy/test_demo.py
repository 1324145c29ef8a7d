"""The demo and its longer form run to their ends and leave nothing running."""

import os
import re
import signal
import sys
from pathlib import Path

from rig import PROJECT
from rig.process import ServerProcess


def start(script: str, wasm: Path, log_path: Path) -> ServerProcess:
    environment = {"RETROHOOK_WASM": str(wasm), "PYTHONUNBUFFERED": "1"}
    return ServerProcess([sys.executable, str(PROJECT / "scripts" / script)], log_path, environment)


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
        demo.wait_for_log("What the client pays", 60)
        servers = servers_of(demo.pid)
        assert demo.wait_for_exit(120) == 0, demo.log()
    shown = demo.log()
    pages = re.findall(r'GET the page .*"version": (\d+),.*\(cache (\w+)\)', shown)
    assert pages == [("1", "miss"), ("1", "hit"), ("2", "miss"), ("2", "hit")]
    assert re.search(r"event \S+ PUT /mockbin/profile 200", shown), "the worker has it"
    assert re.search(r"ratio +\d+\.\d\d +\d+\.\d\d", shown)
    answers = re.findall(r"POST /webhook (evt_\d).* (\d{3}),", shown)
    assert answers[:2] == [("evt_1", "200"), ("evt_2", "503")] and answers[-1] == ("evt_2", "200")
    assert re.findall(r"the worker +webhook (evt_\d)", shown) == ["evt_1", "evt_2"], "each once"
    assert len(servers) == 5
    assert not any(map(is_running, servers))


def test_up_stays_until_it_is_told_to_stop(wasm: Path, tmp_path: Path) -> None:
    with start("up.py", wasm, tmp_path / "up.log") as up:
        up.wait_for_log("Ctrl-C stops", 60)
        assert "curl -X PUT http://127.0.0.1:" in up.log()
        servers = servers_of(up.pid)
        os.kill(up.pid, signal.SIGINT)
        assert up.wait_for_exit() == 0, up.log()
    assert len(servers) == 5
    assert not any(map(is_running, servers))
