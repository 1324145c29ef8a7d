"""What the journal costs a matching request in real Envoy: CPU time of the process, with and without, in turns.

The least of several rounds counts: whatever else the machine does can only add to it.
"""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import ANY_CREDENTIALS, wasm_path
from rig.load import run_load
from rig.profile_service import ProfileService
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

ROUNDS, COUNT, RATE = 8, 6_000, 2_000


def cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, SnsSink() as sink, ProfileService(Path(folder) / "service.log") as service:
        envoys = {}
        for journal in ("on", "off"):
            config = EnvoyConfig("access-logger", wasm_path())
            config.aim_service(service.address)
            config.aim_aws(sink.address)
            config.configure(queue={"journal": journal})
            envoys[journal] = Envoy(config.write(Path(folder) / f"{journal}.yaml"), ANY_CREDENTIALS.environment())
        try:
            least = dict.fromkeys(envoys, float("inf"))
            for round_ in range(1, ROUNDS + 1):
                for journal, envoy in envoys.items():
                    before = cpu_seconds(envoy.pid)
                    result = run_load(envoy.address_of(), "PUT", "/mockbin/profile", COUNT, RATE)
                    assert result.statuses == {200: COUNT}
                    published = "retrohook_events_published_total"
                    wait_for(lambda envoy=envoy, all_=round_ * COUNT: envoy.metric(published) == all_, "delivery", 60)
                    least[journal] = min(least[journal], (cpu_seconds(envoy.pid) - before) / COUNT * 1e6)
            print(f"CPU of Envoy for a matching request: {least['on']:.0f} µs with the journal, {least['off']:.0f} µs without")
        finally:
            for envoy in envoys.values():
                envoy.stop()


if __name__ == "__main__":
    main()
