"""A worker for the webhooks that the gateway has captured into an SQS queue.

    python webhook_worker.py --queue-url https://sqs.us-east-1.amazonaws.com/123456789012/webhooks

It takes no more than it can work on at once, keeps what it works on, and handles a webhook once. SIGTERM ends it in order.
Credentials, region and endpoint are found as boto3 finds them. It needs sqs:ReceiveMessage, sqs:DeleteMessage and
sqs:ChangeMessageVisibility, and with a table dynamodb:PutItem, dynamodb:UpdateItem and dynamodb:DeleteItem.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from webhook import Webhook, webhook_of
from webhook_inbox import Claim, DynamoInbox, Inbox, SqliteInbox, Taken

Handler = Callable[[Webhook], None]


class NotVerified(Exception):
    """The gateway found no good signature on the webhook."""


class _Delivery:
    """A message that was received and is not settled yet: not deleted, and not given back to the queue."""

    def __init__(self, message: dict[str, Any]):
        self.message = message
        # The webhook's id and the claim to it, once there is one.
        self.held: tuple[str, Claim] | None = None
        # Held by whoever tells the queue something of it, so that nobody keeps what has just been given back.
        self.lock = threading.Lock()
        self.is_settled = False

    def settle(self) -> bool:
        """Whether it is for the caller to settle it."""
        with self.lock:
            was_settled, self.is_settled = self.is_settled, True
        return not was_settled


class Worker:
    """Works on up to `concurrency` webhooks at once, each in a thread of its own."""

    def __init__(
        self,
        sqs: Any,
        queue_url: str,
        inbox: Inbox,
        handle: Handler,
        *,
        concurrency: int = 8,
        visibility_seconds: int = 90,
        retry_seconds: int = 30,
        wait_seconds: int = 5,
        accept_unverified: bool = False,
    ):
        self._sqs = sqs
        self._queue_url = queue_url
        self._inbox = inbox
        self._handle = handle
        self._visibility_seconds = visibility_seconds
        # A claim ends before its message is given to somebody else, who would find it taken.
        self._claim_seconds = visibility_seconds * 0.9
        self._retry_seconds = retry_seconds
        self._wait_seconds = wait_seconds
        self._accept_unverified = accept_unverified
        # Of a FIFO queue one at a time: then SQS gives out nothing more of its group until it is settled.
        self._most_at_once = 1 if queue_url.endswith(".fifo") else 10
        self._concurrency = concurrency
        self._free = threading.Semaphore(concurrency)
        self._deliveries: dict[str, _Delivery] = {}
        self._stopping = threading.Event()

    def run(self, grace_seconds: float = 20) -> None:
        """Until `stop`. Then it waits for what is in progress. What takes longer goes back to the queue: let the process end."""
        done = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(done,), daemon=True)
        keeper.start()
        while not self._stopping.is_set():
            self._take()
        deadline = time.monotonic() + grace_seconds
        for _ in range(self._concurrency):
            self._free.acquire(timeout=max(0, deadline - time.monotonic()))
        for delivery in list(self._deliveries.values()):
            self._give_back(delivery, seconds=0)
        done.set()
        keeper.join()

    def stop(self) -> None:
        """Takes nothing more. Returns at once."""
        self._stopping.set()

    def _take(self) -> None:
        """Receives as many messages as there are free threads, once there is one."""
        if not self._free.acquire(timeout=0.2):
            return
        free = 1
        while free < self._most_at_once and self._free.acquire(blocking=False):
            free += 1
        for message in self._receive(free):
            delivery = _Delivery(message)
            self._deliveries[message["ReceiptHandle"]] = delivery
            threading.Thread(target=self._work_on, args=(delivery,), daemon=True).start()
            free -= 1
        for _ in range(free):
            self._free.release()

    def _receive(self, count: int) -> list[dict[str, Any]]:
        try:
            return self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=count,
                VisibilityTimeout=self._visibility_seconds,
                WaitTimeSeconds=self._wait_seconds,
            ).get("Messages", [])
        except Exception as fault:
            _complain("nothing received:", fault)
            self._stopping.wait(1)
            return []

    def _work_on(self, delivery: _Delivery) -> None:
        try:
            if self._handle_once(delivery) and delivery.settle():
                # Only now: a worker that dies before this line gets the message again.
                self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=delivery.message["ReceiptHandle"])
        except Exception as fault:
            # It comes again, and after maxReceiveCount times it goes to the dead-letter queue.
            _complain("failed:", delivery.message["MessageId"], fault)
            self._give_back(delivery, self._retry_seconds)
        finally:
            del self._deliveries[delivery.message["ReceiptHandle"]]
            self._free.release()

    def _handle_once(self, delivery: _Delivery) -> bool:
        """Whether it is done, now or before."""
        webhook = webhook_of(delivery.message["Body"])
        if webhook.verified is False and not self._accept_unverified:
            raise NotVerified(webhook.verify_error)
        claim = self._inbox.claim(webhook.id, self._claim_seconds)
        if isinstance(claim, Taken):
            print(f"{claim.value}:", webhook.id, flush=True)
            # While another delivery of it is handled, this one is left until its time is over, in case that fails.
            return claim is Taken.DONE
        delivery.held = (webhook.id, claim)
        self._handle(webhook)
        self._inbox.finish(webhook.id)
        return True

    def _give_back(self, delivery: _Delivery, seconds: int) -> None:
        if not delivery.settle():
            return
        try:
            if delivery.held:
                self._inbox.release(*delivery.held)
            self._hide(delivery, seconds)
        except Exception as fault:
            _complain("comes again later:", delivery.message["MessageId"], fault)

    def _keep(self, done: threading.Event) -> None:
        """Lets what is worked on stay this worker's."""
        while not done.wait(self._visibility_seconds / 3):
            for delivery in list(self._deliveries.values()):
                with delivery.lock:
                    if not delivery.is_settled:
                        self._keep_one(delivery)

    def _keep_one(self, delivery: _Delivery) -> None:
        try:
            if delivery.held:
                self._inbox.keep(*delivery.held, self._claim_seconds)
            self._hide(delivery, self._visibility_seconds)
        except Exception as fault:
            _complain("may come again early:", delivery.message["MessageId"], fault)

    def _hide(self, delivery: _Delivery, seconds: int) -> None:
        self._sqs.change_message_visibility(
            QueueUrl=self._queue_url, ReceiptHandle=delivery.message["ReceiptHandle"], VisibilityTimeout=seconds
        )


def _complain(*what: object) -> None:
    print(*(repr(each) if isinstance(each, Exception) else each for each in what), file=sys.stderr, flush=True)


def show(webhook: Webhook) -> None:
    """Where an application does its work. What it calls gets the id, too, so that it can tell a repetition."""
    print("webhook", webhook.id, webhook.path, webhook.body, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queue-url", required=True)
    parser.add_argument("--concurrency", type=int, default=8, help="how many webhooks at once")
    parser.add_argument("--visibility-seconds", type=int, default=90, help="how soon another has it if this one dies")
    parser.add_argument("--wait-seconds", type=int, default=5, help="how long it waits for a message, after SIGTERM as well")
    parser.add_argument("--retry-seconds", type=int, default=30, help="how soon it is tried again when it failed")
    parser.add_argument("--grace-seconds", type=int, default=20, help="how long SIGTERM lets it work on")
    parser.add_argument("--accept-unverified", action="store_true", help="handle what has no good signature as well")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--inbox", default="webhooks.sqlite3", help="the file that remembers which webhooks are done")
    group.add_argument("--inbox-table", help="or the table in DynamoDB, for workers on several machines")
    arguments = parser.parse_args()

    # A connection for each thread, the receiver and the keeper. A call that hangs is given up in time to keep the rest.
    config = Config(max_pool_connections=arguments.concurrency + 2, read_timeout=arguments.wait_seconds + 10)
    inbox: Inbox
    if arguments.inbox_table:
        inbox = DynamoInbox(boto3.client("dynamodb", config=config), arguments.inbox_table)
    else:
        inbox = SqliteInbox(arguments.inbox)
    worker = Worker(
        boto3.client("sqs", config=config),
        arguments.queue_url,
        inbox,
        show,
        concurrency=arguments.concurrency,
        visibility_seconds=arguments.visibility_seconds,
        retry_seconds=arguments.retry_seconds,
        wait_seconds=arguments.wait_seconds,
        accept_unverified=arguments.accept_unverified,
    )
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: worker.stop())
    print("working on", arguments.queue_url, flush=True)
    worker.run(arguments.grace_seconds)
    print("stopped", flush=True)
    # At once: what was given back to the queue goes on in its thread, and is to end here.
    os._exit(0)


if __name__ == "__main__":
    main()
