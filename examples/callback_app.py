"""An application that shows pages of a profile service from its cache, and expires them when SNS calls.

    python callback_app.py --origin http://gateway:8000 --topic-arn arn:aws:sns:us-east-1:123456789012:profile-events

GET any path    the page of that path, from the cache or from the origin (header x-cache: hit or miss)
POST /events    the endpoint to subscribe to the topic (protocol http or https, without raw delivery)
"""

import argparse
import json
import sys
import threading
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from page_cache import PageCache
from sns_signature import NotFromSns, SignatureCheck, download, is_sns_url

CALLBACK_PATH = "/events"

# SNS sends at most 256 KiB, in a JSON text whose escapes may take several times that.
_MAX_NOTIFICATION_BYTES = 2 << 20


class SeenEvents:
    """The last event ids. In memory: what it forgets at a restart, the cache forgets too."""

    def __init__(self, capacity: int = 10_000):
        self._capacity = capacity
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._ids

    def add(self, event_id: str) -> None:
        with self._lock:
            self._ids[event_id] = None
            if len(self._ids) > self._capacity:
                self._ids.popitem(last=False)


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
        self._on_event = on_event
        self._check = check
        self._confirm = confirm
        self._seen = SeenEvents()

    def handle(self, body: bytes) -> int:
        """The status to answer with: SNS delivers again after a 5xx, and gives up after a 4xx."""
        try:
            message = json.loads(body)
            self._check(message)
            # Anybody may own a topic, subscribe this endpoint to it, and get that topic's messages signed by SNS.
            if message["TopicArn"] != self._topic_arn:
                raise NotFromSns(f"of another topic: {message['TopicArn']}")
            self._dispatch(message)
            return 200
        except NotFromSns as fault:
            print("refused:", fault, file=sys.stderr, flush=True)
            return 403
        except (ValueError, KeyError, TypeError) as fault:
            print("not understood:", repr(fault), file=sys.stderr, flush=True)
            return 400
        except OSError as fault:
            print("not now:", fault, file=sys.stderr, flush=True)
            return 503

    def _dispatch(self, message: dict[str, Any]) -> None:
        if message["Type"] == "SubscriptionConfirmation":
            if not is_sns_url(message["SubscribeURL"]):
                raise NotFromSns(f"the address to confirm at is not of SNS: {message['SubscribeURL']!r}")
            self._confirm(message["SubscribeURL"])
            print("subscribed to", message["TopicArn"], flush=True)
        elif message["Type"] == "Notification":
            event = json.loads(message["Message"])
            # SNS delivers at least once, and so does the gateway.
            if event["event_id"] in self._seen:
                print("seen before:", event["event_id"], flush=True)
            else:
                self._on_event(event)
                self._seen.add(event["event_id"])


class CallbackApp(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], cache: PageCache, subscriber: Subscriber):
        super().__init__(address, _Handler)
        self.cache = cache
        self.subscriber = subscriber


class _Handler(BaseHTTPRequestHandler):
    server: CallbackApp
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        try:
            page, was_cached = self.server.cache.get(urlsplit(self.path).path)
        except urllib.error.URLError as fault:
            return self._reply(502, f"the origin: {fault}\n".encode())
        return self._reply(200, page, ("x-cache", "hit" if was_cached else "miss"))

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        if not 0 <= length <= _MAX_NOTIFICATION_BYTES:
            self.close_connection = True
            return self._reply(413, b"")
        body = self.rfile.read(length)
        if urlsplit(self.path).path != CALLBACK_PATH:
            return self._reply(404, b"")
        return self._reply(self.server.subscriber.handle(body), b"")

    def _reply(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("content-length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """What matters is printed where it happens."""


def expire_page(cache: PageCache) -> Callable[[dict[str, Any]], None]:
    def on_event(event: dict[str, Any]) -> None:
        path = urlsplit(event["request"]["uri"]).path
        cache.expire(path)
        print("expired", path, "by event", event["event_id"], flush=True)

    return on_event


def believe_anybody(_message: dict[str, Any]) -> None:
    """In place of a signature check."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--origin", required=True, help="where the pages come from, for example http://gateway:8000")
    parser.add_argument("--topic-arn", required=True, help="the only topic whose messages are believed")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0: a free one")
    parser.add_argument(
        "--insecure-skip-signature-check",
        action="store_true",
        help="believe anybody; only for a stand-in of SNS whose certificate does not lie at AWS",
    )
    arguments = parser.parse_args()

    if arguments.insecure_skip_signature_check:
        print("WARNING: signatures are NOT checked: whoever reaches this port is believed", file=sys.stderr, flush=True)
    check = believe_anybody if arguments.insecure_skip_signature_check else SignatureCheck().check
    cache = PageCache(lambda path: download(arguments.origin.rstrip("/") + path))
    subscriber = Subscriber(arguments.topic_arn, expire_page(cache), check)
    app = CallbackApp((arguments.host, arguments.port), cache, subscriber)
    print("listening on port", app.server_address[1], flush=True)
    app.serve_forever()


if __name__ == "__main__":
    main()
