"""The story in one run: a profile changes behind a gateway, and a cache, a worker and a webhook hear of it; and a gateway stores a
webhook before it answers it.

Starts everything on free ports, shows it, measures what the client pays for it, and stops all that it started.
"""

import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from rig.envoy import Envoy  # noqa: E402
from rig.envoy_config import EnvoyConfig  # noqa: E402
from rig.gateway import MISSION_PUT, wasm_path  # noqa: E402
from rig.http import send  # noqa: E402
from rig.latency import compare  # noqa: E402
from rig.stage import Stage, run  # noqa: E402
from rig.waiting import wait_for  # noqa: E402
from rig.webhook_receiver import SECRET, WebhookReceiver  # noqa: E402
from rig.webhook_stage import open_webhook_stage, send_webhook  # noqa: E402

LOGS = PROJECT / ".run" / "demo"
ROUNDS = 400
_TOLD = ("x-retrohook-message-id", "retry-after")


def show_page(stage: Stage, when: str) -> None:
    reply = send(stage.callback_app.address, "GET", "/mockbin/profile")
    print(f"  GET the page {when:<12} {reply.body.decode()}  (cache {reply.headers['x-cache']})")


def show_story(stage: Stage) -> None:
    print("\nThe application shows a page of the profile service, from its cache when it can:")
    show_page(stage, "once")
    show_page(stage, "again")

    method, path, headers, body = MISSION_PUT
    host, port = stage.gateway
    print("\nSomebody changes the profile, through the gateway:")
    print(f"  curl -X {method} http://{host}:{port}{path} -H 'Content-Type: {headers['content-type']}' -d '{body}'")
    reply = send(stage.gateway, *MISSION_PUT)
    print(f"  {reply.status} {reply.body.decode()}")

    expiry = stage.callback_app.wait_for_log(r"expired (\S+) by event (\S+)")
    print(f"\nSNS called the callback route, which expired {expiry[1]} (event {expiry[2]}):")
    show_page(stage, "after")
    show_page(stage, "once more")

    work = stage.worker.wait_for_log(rf"event {expiry[2]} .*")
    print(f"\nThe worker took the same event from the SQS queue:\n  {work[0]}")


def show_own_webhook(stage: Stage) -> None:
    print("\nWithout AWS: another Envoy sends the same event to a webhook of your own (envoy/webhook-target.yaml).")
    config = EnvoyConfig("webhook-target", wasm_path())
    with WebhookReceiver() as receiver:
        config.aim_service(stage.service.address)
        config.aim_aws(receiver.address)
        path = config.write(stage.directory / "webhook-target.yaml")
        with Envoy(path, {"HOOK_SECRET": SECRET, "HOOK_TOKEN": "token"}) as envoy:
            print(f"  PUT /mockbin/profile  {send(envoy.address_of(), *MISSION_PUT).status}")
            (request,) = receiver.wait_for_events(1)
            good = "good" if request.is_signed_with(SECRET) else "bad"
            print(f"  the receiver          POST {request.target}, event {request.event_id}; standardwebhooks says: a {good} signature")


def show_latency(stage: Stage) -> None:
    print(f"\nWhat the client pays: {ROUNDS} PUTs with Retrohook and {ROUNDS} without, in turn ...", flush=True)
    without, with_it = compare(stage.gateway_without_retrohook, stage.gateway, MISSION_PUT, ROUNDS)
    print("                     median        p99")
    print(f"  without Retrohook  {without.median_ms:6.2f} ms  {without.p99_ms:6.2f} ms")
    print(f"  with Retrohook     {with_it.median_ms:6.2f} ms  {with_it.p99_ms:6.2f} ms")
    print(
        f"  ratio              {with_it.median_ms / without.median_ms:6.2f}     {with_it.p99_ms / without.p99_ms:6.2f}"
    )


def show_webhooks(stage: Stage) -> None:
    print("\nThe other way round: a payment provider sends webhooks, and Envoy stores them in SQS (envoy/capture.yaml).")
    with open_webhook_stage(stage.moto, stage.directory) as webhooks:

        def post(event_id: str, when: str) -> int:
            reply = send_webhook(webhooks.gateway, event_id)
            more = "".join(f", {name} {reply.headers[name]}" for name in _TOLD if name in reply.headers)
            print(f"  POST /webhook {event_id} {when:<18} {reply.status}{more}")
            return reply.status

        def show_handled(event_id: str) -> None:
            print(f"  the worker        {webhooks.worker.wait_for_log(rf'.*{event_id}.*')[0]}")

        post("evt_1", "signed")
        show_handled("evt_1")
        webhooks.wire.cut()
        post("evt_2", "SQS cannot be reached")
        webhooks.wire.mend()
        wait_for(lambda: post("evt_2", "sent again") == 200, "SQS to be back")
        show_handled("evt_2")


def show_metrics(stage: Stage) -> None:
    published = "retrohook_events_published_total"
    wait_for(lambda: stage.envoy.metric(published) == ROUNDS + 1, "SNS to have all events", timeout=60)
    print("\nSNS has all of them by now. Envoy's /stats/prometheus, of Retrohook:")
    for name, value in sorted(stage.envoy.metrics().items()):
        if name.endswith("_total") and value:
            print(f"  {name} {value:g}")


def show(stage: Stage) -> None:
    show_story(stage)
    show_own_webhook(stage)
    show_latency(stage)
    show_metrics(stage)
    show_webhooks(stage)


if __name__ == "__main__":
    run(LOGS, show)
