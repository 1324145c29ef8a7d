"""Everything that the demo starts, kept running to be played with; Ctrl-C stops it."""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from rig import LOOPBACK  # noqa: E402
from rig.grafana import Grafana, command  # noqa: E402
from rig.http import Address, unused_address  # noqa: E402
from rig.ports import Ports  # noqa: E402
from rig.prometheus import Prometheus, Unavailable  # noqa: E402
from rig.stage import Stage, run  # noqa: E402
from rig.webhook_stage import SECRET, WebhookStage, open_webhook_stage  # noqa: E402

LOGS = PROJECT / ".run" / "up"

FIXED = {
    "the gateway": 8000,
    "the gateway without Retrohook": 8001,
    "the gateway for webhooks": 8002,
    "the callback app": 8080,
    "the admin interface": 9901,
    "the admin interface for webhooks": 9902,
    "SNS and SQS": 5000,
    "Prometheus": 9090,
    "Grafana": 3000,
}
ALERTS = PROJECT / "deploy" / "observability" / "alerts-envoy.yaml"


def url(address: Address) -> str:
    return f"http://{address[0]}:{address[1]}"


def show_commands(stage: Stage, webhooks: WebhookStage) -> None:
    gateway, bare, app, admin, capture = map(
        url,
        (
            stage.gateway,
            stage.gateway_without_retrohook,
            stage.callback_app.address,
            stage.envoy.admin,
            webhooks.gateway,
        ),
    )
    logs = stage.directory.relative_to(PROJECT)
    print(f"""
The page, from the application's cache (see x-cache):
  curl -i {app}/mockbin/profile

Change the profile: an event goes to SNS, from there to the application and to the queue:
  curl -X PUT {gateway}/mockbin/profile -H 'Content-Type: application/json' -d '{{"foo":"bar"}}'

No event, because it fails; because it is no PUT; because Retrohook is not on this listener:
  curl -i -X PUT '{gateway}/mockbin/profile?status=503'
  curl -i {gateway}/mockbin/profile
  curl -i -X PUT {bare}/mockbin/profile

A webhook, signed as Stripe signs it: SQS has it before it is answered, and then its worker:
  body='{{"id":"evt_1","object":"event"}}'; time=$(date +%s)
  signature=$(printf %s "$time.$body" | openssl dgst -sha256 -hmac {SECRET} | sed 's/.* //')
  curl -i {capture}/webhook -H "stripe-signature: t=$time,v1=$signature" -H 'Content-Type: application/json' --data-binary "$body"

What Retrohook counts:
  curl -s {admin}/stats/prometheus | grep ^retrohook

What the consumers say:
  tail -f {logs}/callback-app.log {logs}/queue-worker.log {logs}/webhook-worker.log

Ctrl-C stops all of it.""", flush=True)  # fmt: skip


@contextmanager
def open_dashboard(stage: Stage, webhooks: WebhookStage, ports: Ports) -> Iterator[None]:
    """Prometheus with the shipped alerts, and Grafana with the shipped dashboard where it is installed."""

    def address(name: str) -> Address:
        return (LOOPBACK, port) if (port := ports.of(name)) else unused_address()

    targets = {"events": stage.envoy.admin, "webhooks": webhooks.envoy.admin}
    with ExitStack() as running:
        try:
            scraped = {name: (admin, "/stats/prometheus") for name, admin in targets.items()}
            prometheus = running.enter_context(Prometheus(stage.directory, scraped, address("Prometheus"), rules=[ALERTS]))
        except Unavailable as why:
            print(f"\nNothing to look at: {why}.", flush=True)
        else:
            print(f"\nTo look at:\n  Prometheus  {url(prometheus.address)}/alerts", flush=True)
            if starts := command():
                grafana = Grafana(stage.directory / "grafana", starts, prometheus.address, address("Grafana"))
                print(f"  Grafana     {url(running.enter_context(grafana).address)}", flush=True)
            else:
                print("  Grafana is not installed; deploy/observability/dashboard-envoy.json is for one.", flush=True)
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ports", choices=["fixed", "free"], default="fixed", help="where everything listens (default: fixed)")
    parser.add_argument("--dashboard", action="store_true", help="start Prometheus, and Grafana where it is installed")
    options = parser.parse_args()
    ports = Ports(FIXED if options.ports == "fixed" else {})

    def show(stage: Stage) -> None:
        with ExitStack() as running:
            webhooks = running.enter_context(open_webhook_stage(stage.moto, stage.directory, ports))
            if options.dashboard:
                running.enter_context(open_dashboard(stage, webhooks, ports))
            show_commands(stage, webhooks)
            try:
                signal.pause()
            except KeyboardInterrupt:
                pass

    run(LOGS, show, ports)


if __name__ == "__main__":
    main()
