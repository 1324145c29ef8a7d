"""A worker for the webhooks that the gateway has captured into an SQS queue.

    python webhook_worker.py --queue-url https://sqs.us-east-1.amazonaws.com/123456789012/webhooks \\
        --unverified-queue-url https://sqs.us-east-1.amazonaws.com/123456789012/webhooks-unverified

It takes no more than it can work on at once, keeps what it works on, and handles a webhook once. SIGTERM ends it in order.
Credentials and endpoint are found as boto3 finds them, the region in the queue's URL. It needs sqs:ReceiveMessage, sqs:DeleteMessage and
sqs:ChangeMessageVisibility, sqs:SendMessage on the queue of what is not verified, and with a table dynamodb:PutItem,
dynamodb:UpdateItem and dynamodb:DeleteItem. The exit code is 1 if it ended because all its handlers hang.
"""

import argparse
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from aws_client import client
from botocore.config import Config
from log_line import complain, say
from sqs_forward import WHOLE_MESSAGE, forward
from webhook import Webhook, webhook_of
from webhook_delivery import Delivery
from webhook_inbox import DynamoInbox, Inbox, SqliteInbox, Taken

Handler = Callable[[Webhook], None]

# What will never be handled is given back so often at once, to be a dead letter within seconds and
# not to hold up its group. It is more than any sensible maxReceiveCount: a queue without a
# dead-letter queue is not asked for the message more often than for what failed.
_MOST_RETURNS_AT_ONCE = 10

# No webhook's: ids begin with something that can be seen.
_PROBE = " probe"
_MOST_SECONDS_BETWEEN_PROBES = 30

_SECONDS_TO_GIVE_BACK = 5


class NeverHandledError(Exception):
    """A message is not for the handler, now and whenever it comes again."""


class Worker:
    """Works on up to `concurrency` webhooks at once, each in a thread of its own."""

    def __init__(
        self,
        sqs: Any,
        queue_url: str,
        inbox: Inbox,
        handle: Handler,
        *,
        receiver: Any = None,
        concurrency: int = 8,
        visibility_seconds: int = 90,
        handler_seconds: int = 600,
        retry_seconds: int = 30,
        wait_seconds: int = 5,
        unverified_queue_url: str | None = None,
        accept_unverified: bool = False,
    ):
        self._sqs = sqs
        # A client of its own, because a receive waits and no other call should.
        self._receiver = receiver or sqs
        self._queue_url = queue_url
        self._inbox = inbox
        self._handle = handle
        self._visibility_seconds = visibility_seconds
        self._handler_seconds = handler_seconds
        self._retry_seconds = retry_seconds
        self._wait_seconds = wait_seconds
        self._unverified_queue_url = unverified_queue_url
        self._accept_unverified = accept_unverified
        # Of a FIFO queue one at a time: then SQS gives out nothing more of its group until it is
        # settled.
        self._most_at_once = 1 if queue_url.endswith(".fifo") else 10
        self._concurrency = concurrency
        self._free = threading.Semaphore(concurrency)
        self._deliveries: set[Delivery] = set()
        # Given back already, while their handlers still hang in their threads.
        self._overdue: set[Delivery] = set()
        self._inbox_fails = False
        # No threading.Event: a signal handler may not take the lock that one has.
        self._is_stopping = False

    def run(self, grace_seconds: float = 20) -> bool:
        """Works until `stop`, then waits for what is in progress. What takes longer goes back to the queue.

        Returns false if it ended by itself because all handlers hang. Let the process end then:
        threads that hang cannot be ended otherwise.
        """
        while not self._is_stopping and len(self._overdue) < self._concurrency:
            self._take()
        all_hang = not self._is_stopping
        deadline = time.monotonic() + (0 if all_hang else grace_seconds)
        for _ in range(self._concurrency):
            self._free.acquire(timeout=max(0, deadline - time.monotonic()))
        self._give_all_back()
        return not all_hang

    def stop(self) -> None:
        """Takes nothing more. Returns at once, and may be called by a signal handler."""
        self._is_stopping = True

    def _take(self) -> None:
        """Receives as many messages as there are free threads, once there is one."""
        if self._inbox_fails and not self._inbox_is_back():
            return
        if not self._free.acquire(timeout=0.2):
            return
        free = 1
        while free < self._most_at_once and self._free.acquire(blocking=False):
            free += 1
        for message in self._receive(free):
            delivery = self._delivery(message)
            if self._is_stopping:
                delivery.give_back(seconds=0)
                continue
            self._deliveries.add(delivery)
            threading.Thread(target=self._work_on, args=(delivery,), daemon=True).start()
            free -= 1
        for _ in range(free):
            self._free.release()

    def _receive(self, count: int) -> list[dict[str, Any]]:
        try:
            return self._receiver.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=count,
                VisibilityTimeout=self._visibility_seconds,
                WaitTimeSeconds=self._wait_seconds,
                **WHOLE_MESSAGE,
            ).get("Messages", [])
        except Exception as fault:
            complain("nothing received:", fault)
            self._pause(1)
            return []

    def _delivery(self, message: dict[str, Any]) -> Delivery:
        return Delivery(
            self._sqs,
            self._queue_url,
            self._inbox,
            message,
            visibility_seconds=self._visibility_seconds,
            handler_seconds=self._handler_seconds,
            on_overdue=self._give_up_on,
        )

    def _work_on(self, delivery: Delivery) -> None:
        try:
            delivery.keep()
            if self._is_done(delivery):
                # Only now: a worker that dies before this line gets the message again.
                delivery.delete()
            else:
                # In case the other delivery of it fails, which is known by then.
                delivery.give_back(self._handler_seconds)
        except NeverHandledError as fault:
            complain("not handled:", delivery.id, fault)
            is_dead_soon = delivery.receive_count < _MOST_RETURNS_AT_ONCE
            delivery.give_back(0 if is_dead_soon else self._retry_seconds)
        except BaseException as fault:
            # A handler that calls sys.exit as well. It comes again, and after maxReceiveCount times
            # it goes to the dead-letter queue.
            complain("failed:", delivery.id, fault)
            delivery.give_back(self._retry_seconds)
        finally:
            self._deliveries.discard(delivery)
            self._overdue.discard(delivery)
            self._free.release()

    def _is_done(self, delivery: Delivery) -> bool:
        """Handles the webhook, unless it is done or another delivery of it is being handled."""
        try:
            webhook = webhook_of(delivery.message["Body"])
        except ValueError as fault:
            raise NeverHandledError(*fault.args) from fault
        if webhook.verified is False and not self._accept_unverified:
            return self._set_aside(delivery, webhook)
        try:
            claim = self._inbox.claim(webhook.id, delivery.claim_seconds)
        except Exception:
            self._inbox_fails = True
            raise
        if isinstance(claim, Taken):
            say(f"{claim.value}:", webhook.id)
            return claim is Taken.DONE
        delivery.claimed(webhook.id, claim)
        self._handle(webhook)
        self._inbox.finish(webhook.id)
        return True

    def _set_aside(self, delivery: Delivery, webhook: Webhook) -> bool:
        """Anybody can send what is not verified, so it counts as no try of the webhook whose id it has."""
        if not self._unverified_queue_url:
            raise NeverHandledError(f"not verified: {webhook.verify_error!r:.200}")
        forward(self._sqs, delivery.message, self._unverified_queue_url, "unverified")
        say("not verified, set aside:", webhook.id, f"{webhook.verify_error!r:.200}")
        return True

    def _give_up_on(self, delivery: Delivery) -> None:
        """A handler that hangs keeps its thread, and no longer its message."""
        complain("failed:", delivery.id, f"not handled within {self._handler_seconds} s")
        delivery.give_back(self._retry_seconds)
        self._overdue.add(delivery)
        if delivery not in self._deliveries:
            # It has ended meanwhile.
            self._overdue.discard(delivery)

    def _inbox_is_back(self) -> bool:
        """While claims fail, nothing is received: each receipt would be a step towards the dead-letter queue."""
        try:
            self._inbox.claim(_PROBE, 0)
        except Exception as fault:
            complain("nothing is received, the inbox fails:", fault)
            self._pause(min(self._retry_seconds + 1, _MOST_SECONDS_BETWEEN_PROBES))
            return False
        self._inbox_fails = False
        return True

    def _give_all_back(self) -> None:
        threads = [threading.Thread(target=each.give_back, args=(0,), daemon=True) for each in list(self._deliveries)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + _SECONDS_TO_GIVE_BACK
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._is_stopping and time.monotonic() < end:
            time.sleep(0.1)


def show(webhook: Webhook) -> None:
    """Where an application does its work. What it calls gets the id, too, so that it can tell a repetition."""
    # What a sender gave it as its id is for people: several webhooks may share it.
    say("webhook", webhook.id, f"{webhook.sender_id!r:.100} {webhook.path!r} {webhook.body!r:.500}")


def bounds(concurrency: int, seconds: float = 5, tries: int = 2) -> Config:
    """Of a client none of whose calls takes longer than `tries` times `seconds` and a few more."""
    return Config(
        # A connection for each webhook and for each of the threads that keep them, and a few more.
        max_pool_connections=2 * concurrency + 2,
        connect_timeout=3,
        read_timeout=seconds,
        retries={"mode": "standard", "total_max_attempts": tries},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queue-url", required=True)
    parser.add_argument("--concurrency", type=int, default=8, help="how many webhooks at once")
    parser.add_argument("--visibility-seconds", type=int, default=90, help="how soon another has it if this one dies")
    parser.add_argument("--handler-seconds", type=int, default=600, help="how long handling one may take; then it has failed")
    parser.add_argument("--wait-seconds", type=int, default=5, help="how long it waits for a message, after SIGTERM as well")
    parser.add_argument("--retry-seconds", type=int, default=30, help="how soon it is tried again when it failed")
    parser.add_argument("--grace-seconds", type=int, default=20, help="how long SIGTERM lets it work on")
    unverified = parser.add_mutually_exclusive_group()
    unverified.add_argument("--unverified-queue-url", help="where what has no good signature goes; without it, it fails")
    unverified.add_argument("--accept-unverified", action="store_true", help="handle what has no good signature as well")
    inboxes = parser.add_mutually_exclusive_group()
    inboxes.add_argument("--inbox", default="webhooks.sqlite3", help="the file that remembers which webhooks are done")
    inboxes.add_argument("--inbox-table", help="or the table in DynamoDB, for workers on several machines")
    arguments = parser.parse_args()
    if not 1 <= arguments.handler_seconds <= 39600:
        # What SQS gives a message in all are twelve hours.
        parser.error("--handler-seconds: 1 to 39600")
    if arguments.unverified_queue_url and arguments.unverified_queue_url.endswith(".fifo") != arguments.queue_url.endswith(".fifo"):
        parser.error("--unverified-queue-url: a FIFO queue goes with a FIFO queue, and a standard one with a standard one")

    inbox: Inbox
    if arguments.inbox_table:
        inbox = DynamoInbox(client("dynamodb", arguments.queue_url, bounds(arguments.concurrency)), arguments.inbox_table)
    else:
        inbox = SqliteInbox(arguments.inbox)
    receiving = bounds(arguments.concurrency, seconds=arguments.wait_seconds + 10, tries=1)
    worker = Worker(
        client("sqs", arguments.queue_url, bounds(arguments.concurrency)),
        arguments.queue_url,
        inbox,
        show,
        receiver=client("sqs", arguments.queue_url, receiving),
        concurrency=arguments.concurrency,
        visibility_seconds=arguments.visibility_seconds,
        handler_seconds=arguments.handler_seconds,
        retry_seconds=arguments.retry_seconds,
        wait_seconds=arguments.wait_seconds,
        unverified_queue_url=arguments.unverified_queue_url,
        accept_unverified=arguments.accept_unverified,
    )
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: worker.stop())
    say("working on", arguments.queue_url)
    ended_in_order = worker.run(arguments.grace_seconds)
    say("stopped")
    # At once: what was given back to the queue goes on in its thread, and is to end here.
    os._exit(0 if ended_in_order else 1)


if __name__ == "__main__":
    main()
