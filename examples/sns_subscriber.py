"""What an application does with the messages that SNS posts to it. It never fetches what one names."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from download import download
from log_line import complain, say
from sns_certificate import NotFromSns, sns_host

# The gateway's ids have 36 characters.
_MOST_ID_CHARACTERS = 200


class SeenEvents:
    """The last event ids. In memory: what it forgets at a restart, the cache forgets too."""

    def __init__(self, capacity: int = 10_000):
        self._capacity = capacity
        self._done: OrderedDict[str, None] = OrderedDict()
        self._under_way: set[str] = set()
        self._lock = threading.Lock()

    def handle_once(self, event_id: str, handle: Callable[[], None]) -> bool:
        """Returns true if it was new. If `handle` raises, the event counts as never seen.

        Raises an OSError while another thread handles it: SNS comes again, in case that one fails.
        """
        with self._lock:
            if event_id in self._done:
                return False
            if event_id in self._under_way:
                raise BlockingIOError(f"{event_id} is being handled")
            self._under_way.add(event_id)
        try:
            handle()
            with self._lock:
                self._done[event_id] = None
                if len(self._done) > self._capacity:
                    self._done.popitem(last=False)
        finally:
            with self._lock:
                self._under_way.remove(event_id)
        return True


class Subscriber:
    """Handles what SNS posts. `check` and `confirm` are replaced where there is no AWS to ask."""

    def __init__(
        self,
        topic_arn: str,
        on_event: Callable[[dict[str, Any]], None],
        check: Callable[[dict[str, Any]], None],
        confirm: Callable[[str], Any] = download,
    ):
        self._topic_arn = topic_arn
        self._host = sns_host(topic_arn)
        self._on_event = on_event
        self._check = check
        self._confirm = confirm
        self._seen = SeenEvents()

    def handle(self, body: bytes) -> int:
        """Returns the status to answer with: SNS delivers again after a 5xx, and gives up after a 4xx."""
        try:
            message = json.loads(body)
            # Anybody may own a topic, subscribe this endpoint to it, and get that topic's messages
            # signed by SNS.
            if message["TopicArn"] != self._topic_arn:
                raise NotFromSns(f"of another topic: {message['TopicArn']!r:.300}")
            self._check(message)
            self._dispatch(message)
            return 200
        except NotFromSns as fault:
            return _refuse(403, "refused:", fault)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
            return _refuse(400, "not understood:", repr(fault))
        except OSError as fault:
            return _refuse(503, "not now:", fault)
        except Exception as fault:
            return _refuse(500, "failed:", repr(fault))

    def _dispatch(self, message: dict[str, Any]) -> None:
        if message["Type"] == "SubscriptionConfirmation":
            self._confirm(self._confirmation_address(message))
            say("subscribed to", self._topic_arn)
        elif message["Type"] == "UnsubscribeConfirmation":
            # Anybody who has seen an UnsubscribeURL can do that, so somebody should know of it.
            complain("UNSUBSCRIBED from", self._topic_arn, "- no more events come here")
        elif message["Type"] == "Notification":
            event = json.loads(message["Message"])
            event_id = event["event_id"]
            if not isinstance(event_id, str) or len(event_id) > _MOST_ID_CHARACTERS:
                raise ValueError("an event without a proper event_id")
            # SNS delivers at least once, and so does the gateway.
            if not self._seen.handle_once(event_id, lambda: self._on_event(event)):
                say("seen before:", event_id)

    def _confirmation_address(self, message: dict[str, Any]) -> str:
        """Returns an address that is put together here, if the message names the same one."""
        expected = {"Action": "ConfirmSubscription", "TopicArn": self._topic_arn, "Token": message["Token"]}
        named = urlsplit(message["SubscribeURL"])
        if (
            (named.scheme, named.netloc, named.path, named.fragment) != ("https", self._host, "/", "")
            or sorted(parse_qsl(named.query)) != sorted(expected.items())
        ):  # fmt: skip
            raise NotFromSns(f"no address to confirm this subscription at: {message['SubscribeURL']!r:.300}")
        return f"https://{self._host}/?{urlencode(expected)}"


def _refuse(status: int, what: str, why: object) -> int:
    complain(what, f"{why!s:.500}")
    return status
