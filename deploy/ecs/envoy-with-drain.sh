#!/usr/bin/env bash
# Runs Envoy, and waits for its queues when the task is told to end: ECS has no hook before that.
#   envoy-with-drain.sh SECONDS ENVOY_ARGUMENT…
set -u

seconds=$1
shift
admin=${ENVOY_ADMIN:-http://127.0.0.1:9901}

# One line for each target.
queued() { echo $((0$(curl -sf "$admin/stats?filter=retrohook_queued_entries" | sed 's/.*: /+/' | tr -d '\n'))); }

drain() {
  # No more traffic from load balancers that ask /healthcheck, and connections are asked to end.
  curl -sf -X POST "$admin/healthcheck/fail" && curl -sf -X POST "$admin/drain_listeners?graceful"
  while sleep 1; left=$(queued); [ "$left" -gt 0 ] && [ "$seconds" -gt 0 ]; do seconds=$((seconds - 1)); done
  echo "$left event(s) left"
  # What is left becomes dead letters.
  kill -TERM "$envoy"
}

envoy "$@" &
envoy=$!
trap drain TERM

wait "$envoy"
status=$?
# The signal ended that wait, and not Envoy.
while kill -0 "$envoy" 2>/dev/null; do
  wait "$envoy"
  status=$?
done
exit "$status"
