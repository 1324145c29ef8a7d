"""How long Envoy takes from its start until it is ready, and how much memory it has then: alone, with an empty filter, with Retrohook.

The rows take turns; medians of ROUNDS processes (7). Each worker has a VM of its own, and the main thread one more.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rig import PROJECT
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import ANY_CREDENTIALS, wasm_path

ROUNDS = int(os.environ.get("ROUNDS", "7"))
WORKERS = (1, 4)
MODULES = {
    "Envoy alone": None,
    "an empty filter": PROJECT / "dist" / "fixtures" / "empty.wasm",
    "Retrohook, topics only": PROJECT / "dist" / "retrohook-lean.wasm",
    "Retrohook": wasm_path(),
}


def resident(pid: int) -> float:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def measure(module: Path | None, workers: int, path: Path) -> tuple[float, float]:
    """Milliseconds until it is ready, and MiB then."""
    config = EnvoyConfig("http-filter", module or wasm_path())
    if module is None:
        manager = config.http_manager
        manager["http_filters"] = [each for each in manager["http_filters"] if each["name"] != "retrohook"]
    written = config.write(path)
    start = time.perf_counter()
    with Envoy(written, ANY_CREDENTIALS.environment(), workers) as envoy:
        return (time.perf_counter() - start) * 1e3, resident(envoy.pid)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for workers in WORKERS:
            taken: dict[str, list[tuple[float, float]]] = {name: [] for name in MODULES}
            for number in range(ROUNDS):
                for name, module in MODULES.items():
                    taken[name].append(measure(module, workers, Path(folder) / f"{number}.yaml"))
            for name, samples in taken.items():
                ready, memory = (statistics.median(each) for each in zip(*samples, strict=True))
                print(f"{workers} workers, {name}: ready after {ready:.0f} ms, {memory:.0f} MiB")


if __name__ == "__main__":
    main()
