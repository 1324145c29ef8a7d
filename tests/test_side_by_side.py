"""What `make test` runs its parts with: nothing is mixed, a failure is the last that is said, and nothing goes on behind it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from rig import PROJECT
from rig.waiting import wait_for

SCRIPT = [sys.executable, str(PROJECT / "scripts" / "side_by_side.py")]


def run(*commands: str) -> tuple[int, list[str]]:
    """The status, and the lines without the seconds that commands took."""
    done = subprocess.run([*SCRIPT, *commands], capture_output=True, text=True, timeout=60)
    assert not done.stderr
    return done.returncode, [line.rpartition(" after ")[0] or line for line in done.stdout.splitlines()]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    # One that has ended may stay in the table until somebody asks for its status.
    return state != "Z"


def test_they_run_at_once_and_are_shown_one_after_the_other(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # The first can only end while the second runs, which has said all by then.
    first, second = f"echo a; cat {fifo}; echo b", f"echo c >&2; echo x > {fifo}; echo d"
    assert run(first, second) == (
        0,
        [f"--- {first}", "a", "x", "b", f"--- {first}: status 0", f"--- {second}", "c", "d", f"--- {second}: status 0"],
    )


def test_a_failure_ends_the_others_and_is_the_last_that_is_said(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    long = f"echo begun; sleep 600 & echo $! > {pid}; wait"
    failing = f"while [ ! -s {pid} ]; do sleep 0.01; done; echo the reason; exit 3"
    for commands in ((long, failing), (failing, long)):
        pid.unlink(missing_ok=True)
        status, lines = run(*commands)
        assert status == 3 and lines[-2:] == ["the reason", f"--- {failing}: status 3"], lines
        assert f"--- {long}: status 0" not in lines
        wait_for(lambda: not is_running(int(pid.read_text())), "what it had started to end")


def test_a_command_that_a_signal_ends_has_failed() -> None:
    assert run("true", "kill -9 $$")[0] == 128 + signal.SIGKILL


def test_with_it_all_that_it_runs_ends(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    runner = subprocess.Popen([*SCRIPT, f"sleep 600 & echo $! > {pid}; wait"], stdout=subprocess.DEVNULL)
    wait_for(lambda: pid.exists() and pid.read_text(), "it to begin")
    runner.terminate()
    assert runner.wait(20) == 128 + signal.SIGTERM
    wait_for(lambda: not is_running(int(pid.read_text())), "what it had started to end")
