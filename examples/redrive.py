"""Moves messages from a dead-letter queue back to the queue where they failed.

    python redrive.py --from https://sqs.us-east-1.amazonaws.com/123456789012/webhooks-dead \\
        --to https://sqs.us-east-1.amazonaws.com/123456789012/webhooks

Webhooks that the gateway did not verify are no failures of a handler: they stay, and with --unverified they alone are moved.
May be killed at any moment, and run again: then a message may be in both queues, never in none. It needs sqs:ReceiveMessage and
sqs:DeleteMessage on the dead-letter queue, and sqs:SendMessage on the queue.
"""

import argparse
import sys
from typing import Any

from aws_client import client
from botocore.exceptions import BotoCoreError, ClientError
from sqs_forward import WHOLE_MESSAGE, forward

# How long a message is this run's, and left alone if it cannot be moved.
_VISIBILITY_SECONDS = 60


class Redrive:
    def __init__(
        self, sqs: Any, dead_letter_queue_url: str, queue_url: str, wait_seconds: int = 2, unverified: bool = False
    ):
        self._sqs = sqs
        self._dead_letter_queue_url = dead_letter_queue_url
        self._queue_url = queue_url
        self._wait_seconds = wait_seconds
        self._unverified = unverified
        # Ids of messages that were tried, and of those they became: these may have failed again,
        # and would go round and round.
        self._known: set[str] = set()
        self._stuck_groups: set[str] = set()
        self.moved = 0
        self.failed = 0
        # Of the other kind: what is not verified, or with `unverified` what is.
        self.left = 0

    def run(self, limit: int | None = None) -> None:
        """Works until nothing is left that was not tried, or `limit` are moved."""
        while limit is None or self.moved < limit:
            messages = self._sqs.receive_message(
                QueueUrl=self._dead_letter_queue_url,
                # One by one towards a limit, so that none is received that is not moved.
                MaxNumberOfMessages=10 if limit is None else 1,
                VisibilityTimeout=_VISIBILITY_SECONDS,
                WaitTimeSeconds=self._wait_seconds,
                **WHOLE_MESSAGE,
            ).get("Messages", [])
            if not messages:
                return
            for message in messages:
                if message["MessageId"] not in self._known:
                    self._known.add(message["MessageId"])
                    if _is_unverified(message) == self._unverified:
                        self._move(message)
                    else:
                        self.left += 1

    def _move(self, message: dict[str, Any]) -> None:
        group = message.get("Attributes", {}).get("MessageGroupId")
        if group in self._stuck_groups:
            return self._not_moved(message, "what comes before it in its group could not be moved")
        try:
            self._known.add(forward(self._sqs, message, self._queue_url, "redrive"))
            # Only now: what is not sent stays.
            self._sqs.delete_message(QueueUrl=self._dead_letter_queue_url, ReceiptHandle=message["ReceiptHandle"])
            self.moved += 1
        except (BotoCoreError, ClientError) as fault:
            if group is not None:
                self._stuck_groups.add(group)
            self._not_moved(message, fault)

    def _not_moved(self, message: dict[str, Any], reason: object) -> None:
        print("not moved:", message["MessageId"], reason, file=sys.stderr, flush=True)
        self.failed += 1


def _is_unverified(message: dict[str, Any]) -> bool:
    """As the gateway says it in an attribute of the message."""
    return message.get("MessageAttributes", {}).get("verified", {}).get("StringValue") == "false"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="dead_letter_queue_url", required=True, metavar="URL")
    parser.add_argument("--to", dest="queue_url", required=True, metavar="URL")
    parser.add_argument("--limit", type=int, help="move only so many, for example one as a trial")
    parser.add_argument("--unverified", action="store_true", help="move what was not verified, and nothing else")
    arguments = parser.parse_args()

    sqs = client("sqs", arguments.dead_letter_queue_url)
    redrive = Redrive(sqs, arguments.dead_letter_queue_url, arguments.queue_url, unverified=arguments.unverified)
    try:
        redrive.run(arguments.limit)
    except (BotoCoreError, ClientError) as fault:
        print("ended early:", fault, file=sys.stderr, flush=True)
        redrive.failed += 1
    kind = "verified" if arguments.unverified else "unverified"
    left = f", {redrive.left} {kind} left" if redrive.left else ""
    print(f"{redrive.moved} moved, {redrive.failed} not moved{left}", flush=True)
    sys.exit(1 if redrive.failed else 0)


if __name__ == "__main__":
    main()
