"""How busy the machine was with other things: a rate that was missed says nothing where others took the CPU."""

import os
import resource
import time
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def _machine() -> float:
    """CPU seconds spent on anything."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / _TICK


def _process(pid: int) -> float:
    # After the name, which may have any characters in it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


class CpuWatch:
    """Watches from its construction on. Knows this process, its children that have ended, and `pids`, which live on."""

    def __init__(self, pids: list[int]):
        self._pids = pids
        self._start = time.monotonic()
        self._others_at_start = self._others()

    def _others(self) -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        ours = time.process_time() + children.ru_utime + children.ru_stime + sum(map(_process, self._pids))
        return _machine() - ours

    def cores_taken_by_others(self) -> float:
        return (self._others() - self._others_at_start) / (time.monotonic() - self._start)
