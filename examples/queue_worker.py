"""A worker that drains the SQS queue subscribed to the topic, one event after the other.

    python queue_worker.py --queue-url https://sqs.us-east-1.amazonaws.com/123456789012/profile-events

Credentials and endpoint are found as boto3 finds them, the region in the queue's URL. It needs sqs:ReceiveMessage and sqs:DeleteMessage.
It has no heartbeat: an event that takes longer than a minute needs webhook_worker.py's.
"""

import argparse
import json
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from typing import Any

from aws_client import client
from botocore.config import Config

Handler = Callable[[dict[str, Any]], None]

# What is not begun so soon after its receipt is left to come again: the queue's visibility timeout,
# 90 s in deploy/, leaves a minute for the last one that is begun.
_SECONDS_TO_BEGIN = 30

# Longer than a message can lie in a queue and then in a dead-letter queue.
_REMEMBERED_SECONDS = 30 * 24 * 3600
_MOST_ID_CHARACTERS = 200
_MOST_SECONDS_BETWEEN_TRIES = 30


def event_of(body: str) -> dict[str, Any]:
    """Returns the event in a message: its body with raw delivery, else what is in the envelope of SNS."""
    document = json.loads(body)
    if document.get("Type") == "Notification" and "TopicArn" in document:
        document = json.loads(document["Message"])
    if not isinstance(document["event_id"], str) or len(document["event_id"]) > _MOST_ID_CHARACTERS:
        raise ValueError("not an event: no proper event_id")
    return document


class Inbox:
    """Remembers which events are done, in the same transaction as what was done for them, for 30 days."""

    def __init__(self, path: str, remembered_seconds: float = _REMEMBERED_SECONDS):
        self._remembered_seconds = remembered_seconds
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("CREATE TABLE IF NOT EXISTS done (event_id TEXT PRIMARY KEY)")
        # Files from before inboxes forgot do not have it.
        if "forget_at" not in {column[1] for column in self._database.execute("PRAGMA table_info(done)")}:
            self._database.execute(f"ALTER TABLE done ADD COLUMN forget_at REAL DEFAULT {time.time() + remembered_seconds}")
        self._database.execute("CREATE INDEX IF NOT EXISTS done_forget_at ON done (forget_at)")

    def handle_once(self, event: dict[str, Any], handle: Handler) -> bool:
        """Returns true if it was new. If `handle` raises, the event counts as never seen."""
        now = time.time()
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.execute(
                "DELETE FROM done WHERE rowid IN (SELECT rowid FROM done WHERE forget_at < ? LIMIT 10)", [now]
            )
            new = (
                self._database.execute(
                    "INSERT OR IGNORE INTO done (event_id, forget_at) VALUES (?, ?)",
                    [event["event_id"], now + self._remembered_seconds],
                ).rowcount
                == 1
            )
            if new:
                handle(event)
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
        return new


class Worker:
    def __init__(self, sqs: Any, queue_url: str, inbox: Inbox, handle: Handler):
        self._sqs = sqs
        self._queue_url = queue_url
        self._inbox = inbox
        self._handle = handle
        self._is_stopping = False

    def run(self, wait_seconds: int = 10) -> None:
        """Drains the queue until `stop`, whatever SQS answers meanwhile."""
        failures = 0
        while not self._is_stopping:
            try:
                self.drain_once(wait_seconds)
                failures = 0
            except Exception as fault:
                failures += 1
                print("SQS:", repr(fault), file=sys.stderr, flush=True)
                self._pause(min(2**failures, _MOST_SECONDS_BETWEEN_TRIES))

    def stop(self) -> None:
        """Begins nothing more. Returns at once, and may be called by a signal handler."""
        self._is_stopping = True

    def drain_once(self, wait_seconds: int = 20) -> int:
        """Receives once, and returns how many messages came. Waits that long if the queue is empty."""
        messages = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["MessageGroupId"],
        ).get("Messages", [])
        begin_until = time.monotonic() + _SECONDS_TO_BEGIN
        failed_groups: set[str] = set()
        for message in messages:
            if self._is_stopping or time.monotonic() > begin_until:
                # They come again, in order; what is begun too late would be begun by another as
                # well.
                break
            group = message.get("Attributes", {}).get("MessageGroupId")
            # What follows a failure in its group waits for it: the queue hands out both again, in
            # order.
            if group not in failed_groups and not self._handle_message(message) and group is not None:
                failed_groups.add(group)
        return len(messages)

    def _handle_message(self, message: dict[str, Any]) -> bool:
        try:
            event = event_of(message["Body"])
            if not self._inbox.handle_once(event, self._handle):
                print("seen before:", event["event_id"], flush=True)
            # Only now: a worker that dies before this line gets the message again.
            self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])
        except Exception as fault:
            # Not deleted: it comes again, and after maxReceiveCount times it goes to the
            # dead-letter queue.
            print("failed:", message["MessageId"], repr(fault), file=sys.stderr, flush=True)
            return False
        return True

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._is_stopping and time.monotonic() < end:
            time.sleep(0.1)


def show(event: dict[str, Any]) -> None:
    """Where an application does its work."""
    request, response = event["request"], event["response"]
    print("event", event["event_id"], request["method"], request["uri"], response["status"], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queue-url", required=True)
    parser.add_argument("--inbox", default="inbox.sqlite3", help="the file that remembers which events are done")
    arguments = parser.parse_args()

    # A call that hangs is given up. A receive waits for ten seconds.
    config = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 2})
    worker = Worker(client("sqs", arguments.queue_url, config), arguments.queue_url, Inbox(arguments.inbox), show)
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: worker.stop())
    print("draining", arguments.queue_url, flush=True)
    # May be killed at any moment, too: what was not finished comes again.
    worker.run()


if __name__ == "__main__":
    main()
