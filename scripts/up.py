"""Everything that the demo starts, kept running to be played with; Ctrl-C stops it."""

import signal
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from rig.stage import Stage, run  # noqa: E402

LOGS = PROJECT / ".run" / "up"


def show_commands(stage: Stage) -> None:
    gateway, bare, app, admin = (
        f"http://{host}:{port}"
        for host, port in (
            stage.gateway,
            stage.gateway_without_retrohook,
            stage.callback_app.address,
            stage.envoy.admin,
        )
    )
    logs = LOGS.relative_to(PROJECT)
    print(f"""
The page, from the application's cache (see x-cache):
  curl -i {app}/mockbin/profile

Change the profile: an event goes to SNS, from there to the application and to the queue:
  curl -X PUT {gateway}/mockbin/profile -H 'Content-Type: application/json' -d '{{"foo":"bar"}}'

No event, because it fails; because it is no PUT; because Retrohook is not on this listener:
  curl -i -X PUT '{gateway}/mockbin/profile?status=503'
  curl -i {gateway}/mockbin/profile
  curl -i -X PUT {bare}/mockbin/profile

What Retrohook counts:
  curl -s {admin}/stats/prometheus | grep ^retrohook

What the consumers say:
  tail -f {logs}/callback-app.log {logs}/queue-worker.log

Ctrl-C stops all of it.""", flush=True)  # fmt: skip


def show(stage: Stage) -> None:
    show_commands(stage)
    try:
        signal.pause()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    run(LOGS, show)
