"""How many webhooks a worker captures in a second beside proxying them to the same stand-in for SQS, and in how many calls: in turns,
in one run, with one sender and with many.

The best of several rounds counts for a rate, and the least for a time: whatever else the machine does can only make it worse. With
an argument the stand-in takes so many milliseconds for a call, as SQS does.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rig.crowd import run_crowd
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import ANY_CREDENTIALS, wasm_path
from rig.sns_answers import Answer
from rig.sqs_sink import SqsRequest, SqsSink

ROUNDS = 5
SENDERS = {1: 500, 2: 1_000, 4: 1_500, 8: 2_000, 16: 3_000, 50: 5_000, 200: 8_000}
"""How many send at once, to how many webhooks of a kilobyte they send in a round."""

PROXY = "proxy"
WAYS = {"proxied": PROXY, "captured": "gateway"}


class SlowSink(SqsSink):
    """Takes its time for calls, and for what is proxied to it as well."""

    delay = 0.0

    def answer(self, request: SqsRequest) -> Answer:
        return replace(super().answer(request), delay=self.delay)


def main() -> None:
    millis = float(sys.argv[1]) if sys.argv[1:] else 0.0
    with tempfile.TemporaryDirectory() as folder, SlowSink() as sink:
        sink.delay = millis / 1e3
        config = EnvoyConfig("capture", wasm_path())
        config.aim_queue(sink.address, sink.url)
        config.configure(max_captures=max(SENDERS))
        config.add_listener_that_proxies(PROXY, config.settings["capture"][0]["upstream"])
        with Envoy(config.write(Path(folder) / "envoy.yaml"), ANY_CREDENTIALS.environment()) as envoy:
            for senders, webhooks in SENDERS.items():
                rate, median, p99 = ({way: default for way in WAYS} for default in (0.0, float("inf"), float("inf")))
                calls = float("inf")
                for _ in range(ROUNDS):
                    for way, listener in WAYS.items():
                        before = sink.request_count
                        crowd = run_crowd(envoy.address_of(listener), "/webhook", webhooks, senders)
                        assert len(crowd.answers[200]) == webhooks, crowd.answers.keys()
                        rate[way] = max(rate[way], crowd.rate)
                        median[way], p99[way] = min(median[way], crowd.median_ms), min(p99[way], crowd.p99_ms)
                    calls = min(calls, (sink.request_count - before) / webhooks)
                told = (f"{way} {rate[way]:,.0f}/s, p50 {median[way]:.2f} ms, p99 {p99[way]:.2f} ms" for way in WAYS)
                ratio = rate["captured"] / rate["proxied"]
                print(f"{senders} senders: {'; '.join(told)}; {ratio:.2f} of the rate, {calls:.2f} calls a webhook", flush=True)
            envoy.assert_no_trap()


if __name__ == "__main__":
    main()
