"""A message between its receipt and its end: kept by this worker, then deleted or given back to the queue.

Each has a thread of its own that keeps it, so that a call that hangs costs one message and no other.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from log_line import complain
from webhook_inbox import Claim, Inbox

# How long giving back waits for a call under way that keeps the message; more than a call may take.
_SECONDS_FOR_A_CALL = 20


class Delivery:
    """A message that was received, kept from `keep` on until it is deleted or given back."""

    def __init__(
        self,
        sqs: Any,
        queue_url: str,
        inbox: Inbox,
        message: dict[str, Any],
        *,
        visibility_seconds: float,
        handler_seconds: float,
        on_overdue: Callable[["Delivery"], None],
    ):
        self.message = message
        self.id: str = message["MessageId"]
        self._sqs = sqs
        self._queue_url = queue_url
        self._inbox = inbox
        self._visibility_seconds = visibility_seconds
        # A claim ends before its message is given to somebody else, who would find it taken.
        self.claim_seconds = visibility_seconds * 0.9
        self._handler_seconds = handler_seconds
        self._on_overdue = on_overdue
        # The webhook's id and the claim to it, once there is one.
        self._claimed: tuple[str, Claim] | None = None
        self._lock = threading.Lock()
        self._settled = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    @property
    def receive_count(self) -> int:
        return int(self.message.get("Attributes", {}).get("ApproximateReceiveCount", 1))

    def keep(self) -> None:
        """Lets the message stay this worker's, for as long as a handler may take. Returns at once."""
        self._keeper.start()

    def claimed(self, webhook_id: str, claim: Claim) -> None:
        """Keeps the claim together with the message."""
        self._claimed = (webhook_id, claim)

    def delete(self) -> None:
        """Ends it, unless it was given back before."""
        if self._settle():
            self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=self.message["ReceiptHandle"])

    def give_back(self, seconds: int) -> None:
        """Lets anybody have it again after so many seconds, unless it was settled before."""
        if not self._settle():
            return
        if self._keeper.ident is not None and self._keeper is not threading.current_thread():
            # A call that keeps the message must not come after the one that gives it back.
            self._keeper.join(_SECONDS_FOR_A_CALL)
        try:
            if self._claimed:
                self._inbox.release(*self._claimed)
        except Exception as fault:
            complain("claimed for a while longer:", self.id, fault)
        try:
            self._hide(seconds)
        except Exception as fault:
            complain("comes again later:", self.id, fault)

    def _settle(self) -> bool:
        """Returns true for one caller alone."""
        with self._lock:
            was_settled = self._settled.is_set()
            self._settled.set()
        return not was_settled

    def _keep(self) -> None:
        overdue_at = time.monotonic() + self._handler_seconds
        interval = self._visibility_seconds / 3
        while not self._settled.wait(max(0, min(interval, overdue_at - time.monotonic()))):
            if time.monotonic() >= overdue_at:
                return self._on_overdue(self)
            self._keep_once()

    def _keep_once(self) -> None:
        # One after the other, and neither for want of the other.
        try:
            self._hide(int(self._visibility_seconds))
        except Exception as fault:
            complain("may come again early:", self.id, fault)
        try:
            if self._claimed:
                self._inbox.keep(*self._claimed, self.claim_seconds)
        except Exception as fault:
            complain("the claim may end early:", self.id, fault)

    def _hide(self, seconds: int) -> None:
        self._sqs.change_message_visibility(
            QueueUrl=self._queue_url, ReceiptHandle=self.message["ReceiptHandle"], VisibilityTimeout=seconds
        )
