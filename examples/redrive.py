"""Moves messages from a dead-letter queue back to the queue where they failed.

    python redrive.py --from https://sqs.us-east-1.amazonaws.com/123456789012/webhooks-dead \\
        --to https://sqs.us-east-1.amazonaws.com/123456789012/webhooks

May be killed at any moment, and run again: then a message may be in both queues, never in none. It needs sqs:ReceiveMessage and
sqs:DeleteMessage on the dead-letter queue, and sqs:SendMessage on the queue.
"""

import argparse
import sys
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

# How long a message is this run's, and left alone if it cannot be moved.
_VISIBILITY_SECONDS = 60


class Redrive:
    def __init__(self, sqs: Any, dead_letter_queue_url: str, queue_url: str, wait_seconds: int = 2):
        self._sqs = sqs
        self._dead_letter_queue_url = dead_letter_queue_url
        self._queue_url = queue_url
        self._wait_seconds = wait_seconds
        # Ids of messages that were tried, and of those they became: these may have failed again, and would go round and round.
        self._known: set[str] = set()
        self._stuck_groups: set[str] = set()
        self.moved = 0
        self.failed = 0

    def run(self, limit: int | None = None) -> None:
        """Until nothing is left that was not tried, or `limit` are moved."""
        while limit is None or self.moved < limit:
            messages = self._sqs.receive_message(
                QueueUrl=self._dead_letter_queue_url,
                # One by one towards a limit, so that none is received that is not moved.
                MaxNumberOfMessages=10 if limit is None else 1,
                VisibilityTimeout=_VISIBILITY_SECONDS,
                WaitTimeSeconds=self._wait_seconds,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["MessageGroupId"],
            ).get("Messages", [])
            if not messages:
                return
            for message in messages:
                if message["MessageId"] not in self._known:
                    self._known.add(message["MessageId"])
                    self._move(message, message.get("Attributes", {}).get("MessageGroupId"))

    def _move(self, message: dict[str, Any], group: str | None) -> None:
        if group in self._stuck_groups:
            return self._not_moved(message, "what comes before it in its group could not be moved")
        try:
            sent = self._sqs.send_message(
                QueueUrl=self._queue_url,
                MessageBody=message["Body"],
                MessageAttributes=message.get("MessageAttributes", {}),
                **self._ordered(message["MessageId"], group),
            )
            self._known.add(sent["MessageId"])
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

    def _ordered(self, message_id: str, group: str | None) -> dict[str, str]:
        if group is None:
            return {}
        if not self._queue_url.endswith(".fifo"):
            return {"MessageGroupId": group}
        # Not the id that it had: SQS would take it for the one that it got before, say that it has it, and drop it.
        return {"MessageGroupId": group, "MessageDeduplicationId": f"redrive-{message_id}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="dead_letter_queue_url", required=True, metavar="URL")
    parser.add_argument("--to", dest="queue_url", required=True, metavar="URL")
    parser.add_argument("--limit", type=int, help="move only so many, for example one as a trial")
    arguments = parser.parse_args()

    redrive = Redrive(boto3.client("sqs"), arguments.dead_letter_queue_url, arguments.queue_url)
    redrive.run(arguments.limit)
    print(redrive.moved, "moved,", redrive.failed, "not moved", flush=True)
    sys.exit(1 if redrive.failed else 0)


if __name__ == "__main__":
    main()
