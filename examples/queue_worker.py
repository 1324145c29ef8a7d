"""A worker that drains the SQS queue subscribed to the topic, one event after the other.

    python queue_worker.py --queue-url https://sqs.us-east-1.amazonaws.com/123456789012/profile-events

Credentials, region and endpoint are found as boto3 finds them. It needs sqs:ReceiveMessage and sqs:DeleteMessage.
"""

import argparse
import json
import sqlite3
import sys
from collections.abc import Callable
from typing import Any

import boto3

Handler = Callable[[dict[str, Any]], None]


def event_of(body: str) -> dict[str, Any]:
    """The event in a message: the body itself with raw delivery, else within the envelope that SNS puts around it."""
    document = json.loads(body)
    if document.get("Type") == "Notification" and "TopicArn" in document:
        return json.loads(document["Message"])
    return document


class Inbox:
    """Remembers which events are done, in the same transaction as what was done for them."""

    def __init__(self, path: str):
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("CREATE TABLE IF NOT EXISTS done (event_id TEXT PRIMARY KEY)")

    def handle_once(self, event: dict[str, Any], handle: Handler) -> bool:
        """Whether it was new. If `handle` raises, the event counts as never seen."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            new = self._database.execute("INSERT OR IGNORE INTO done VALUES (?)", [event["event_id"]]).rowcount == 1
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

    def drain_once(self, wait_seconds: int = 20) -> int:
        """One receive; how many messages it brought. Waits that long if the queue is empty."""
        messages = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["MessageGroupId"],
        ).get("Messages", [])
        failed_groups: set[str] = set()
        for message in messages:
            group = message.get("Attributes", {}).get("MessageGroupId")
            # What follows a failure in its group waits for it: the queue hands out both again, in order.
            if group not in failed_groups and not self._handle_message(message) and group is not None:
                failed_groups.add(group)
        return len(messages)

    def _handle_message(self, message: dict[str, Any]) -> bool:
        try:
            event = event_of(message["Body"])
            if not self._inbox.handle_once(event, self._handle):
                print("seen before:", event["event_id"], flush=True)
        except Exception as fault:
            # Not deleted: it comes again, and after maxReceiveCount times it goes to the dead-letter queue.
            print("failed:", message["MessageId"], repr(fault), file=sys.stderr, flush=True)
            return False
        # Only now: a worker that dies before this line gets the message again.
        self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])
        return True


def show(event: dict[str, Any]) -> None:
    """Where an application does its work."""
    request, response = event["request"], event["response"]
    print("event", event["event_id"], request["method"], request["uri"], response["status"], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queue-url", required=True)
    parser.add_argument("--inbox", default="inbox.sqlite3", help="the file that remembers which events are done")
    arguments = parser.parse_args()

    worker = Worker(boto3.client("sqs"), arguments.queue_url, Inbox(arguments.inbox), show)
    print("draining", arguments.queue_url, flush=True)
    # May be killed at any moment: what was not finished comes again.
    while True:
        worker.drain_once()


if __name__ == "__main__":
    main()
