"""An application that shows pages of a profile service from its cache, and expires them when SNS calls.

    python callback_app.py --origin http://gateway:8000 --topic-arn arn:aws:sns:us-east-1:123456789012:profile-events

GET any path    the page of that path, from the cache or from the origin (header x-cache: hit or miss)
POST /events    the endpoint to subscribe to the topic (protocol http or https, without raw delivery)

One request a connection, so many connections at once, so many seconds for each.
"""

import argparse
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from download import download
from log_line import complain, say
from page_cache import PageCache
from sns_certificate import Certificates, amazon_roots, sns_host
from sns_signature import SignatureCheck
from sns_subscriber import Subscriber

CALLBACK_PATH = "/events"

# SNS sends at most 256 KiB to an HTTP endpoint, in a JSON text whose escapes may take several times
# that.
_MOST_NOTIFICATION_BYTES = 2 << 20
_MOST_PAGE_BYTES = 1 << 20

# What is behind the origin's host and port and can be nothing else there.
_PAGE_PATH = re.compile(r"/[!-~]{0,2000}")

# How long a client waits for one of the threads before it is hung up on.
_SECONDS_TO_WAIT_FOR_A_THREAD = 5


class CallbackApp(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        cache: PageCache,
        subscriber: Subscriber,
        threads: int = 16,
        seconds: float = 20,
    ):
        super().__init__(address, _Handler)
        self.cache = cache
        self.subscriber = subscriber
        self.seconds = seconds
        self._thread_count = threads
        self._free = threading.Semaphore(threads)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(timeout=_SECONDS_TO_WAIT_FOR_A_THREAD):
            complain("hung up on a client: all threads are busy")
            return self.shutdown_request(request)
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        complain("a client went away:", sys.exc_info()[1])

    def wait_for_threads(self, seconds: float) -> None:
        """Returns when every request is answered, or after so many seconds."""
        deadline = time.monotonic() + seconds
        for _ in range(self._thread_count):
            self._free.acquire(timeout=max(0, deadline - time.monotonic()))


class _Handler(BaseHTTPRequestHandler):
    server: CallbackApp
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        self.timeout = self.server.seconds
        super().setup()
        # For the whole of a request: one byte now and then does not hold a thread forever.
        self._hang_up = threading.Timer(self.server.seconds, self._shut_down)
        self._hang_up.daemon = True
        self._hang_up.start()

    def finish(self) -> None:
        self._hang_up.cancel()
        super().finish()

    def _shut_down(self) -> None:
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            """It has ended by itself."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if not _PAGE_PATH.fullmatch(path):
            return self._reply(400, b"no path of a page\n")
        try:
            page, was_cached = self.server.cache.get(path)
        except (OSError, ValueError) as fault:
            complain("the origin:", fault)
            return self._reply(502, b"the origin cannot be reached\n")
        return self._reply(200, page, ("x-cache", "hit" if was_cached else "miss"))

    def do_POST(self) -> None:
        lengths = self.headers.get_all("content-length", [])
        if "transfer-encoding" in self.headers or len(lengths) != 1 or not re.fullmatch(r"[0-9]{1,9}", lengths[0]):
            return self._reply(411, b"")
        length = int(lengths[0])
        if length > _MOST_NOTIFICATION_BYTES:
            return self._reply(413, b"")
        body = self.rfile.read(length)
        if len(body) != length:
            return self._reply(400, b"")
        if self.path.partition("?")[0] != CALLBACK_PATH:
            return self._reply(404, b"")
        return self._reply(self.server.subscriber.handle(body), b"")

    def _reply(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("content-length", str(len(body))), ("connection", "close"), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """What matters is printed where it happens."""


def pages_of(origin: str) -> Callable[[str], bytes]:
    """Returns what fetches the page of a path from the origin, and from nowhere else."""
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"no origin: {origin!r}")
    base = origin.rstrip("/")

    def fetch(path: str) -> bytes:
        url = base + path
        if urlsplit(url)[:2] != parts[:2]:
            raise ValueError(f"another host: {url!r:.200}")
        return download(url, _MOST_PAGE_BYTES)

    return fetch


def expire_page(cache: PageCache) -> Callable[[dict[str, Any]], None]:
    def on_event(event: dict[str, Any]) -> None:
        path = urlsplit(event["request"]["uri"]).path
        cache.expire(path)
        say("expired", path, "by event", event["event_id"])

    return on_event


def believe_anybody(_message: dict[str, Any]) -> None:
    """Instead of a signature check."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--origin", required=True, help="where the pages come from, for example http://gateway:8000")
    parser.add_argument("--topic-arn", required=True, help="the only topic whose messages are believed")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0: a free one")
    parser.add_argument("--ca-file", help="certificates (PEM) to believe in place of Amazon's roots in the system's store")
    parser.add_argument(
        "--insecure-skip-signature-check",
        action="store_true",
        help="believe anybody; only for a stand-in of SNS whose certificate does not lie at AWS",
    )
    arguments = parser.parse_args()

    try:
        cache = PageCache(pages_of(arguments.origin))
        if arguments.insecure_skip_signature_check:
            complain("WARNING: signatures are NOT checked: anybody who reaches this port is believed")
            check = believe_anybody
        else:
            certificates = Certificates(sns_host(arguments.topic_arn), amazon_roots(arguments.ca_file))
            check = SignatureCheck(certificates.at).check
        subscriber = Subscriber(arguments.topic_arn, expire_page(cache), check)
    except (ValueError, OSError) as fault:
        sys.exit(f"callback_app.py: {fault}")
    app = CallbackApp((arguments.host, arguments.port), cache, subscriber)
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        # In a thread: it waits for the loop that this signal interrupts.
        signal.signal(signal_number, lambda *_: threading.Thread(target=app.shutdown).start())
    say("listening on port", app.server_address[1])
    app.serve_forever()
    # What is not answered by then, SNS sends again.
    app.wait_for_threads(seconds=5)


if __name__ == "__main__":
    main()
