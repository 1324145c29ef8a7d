"""The way to AWS, as something on it has it: what is sent goes on to another server, or is refused here.

A refusal is a function of the request that gives status, content type and body; it may word one as AWS does, for an error
that moto does not have, or as a proxy does.
"""

import http.client
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import LOOPBACK
from .http import Address

Refusal = tuple[int, str, str]
Refusals = Callable[[str, bytes], Refusal]
"""From the value of `x-amz-target`, empty for SNS, and the body of a request."""


def worded(status: int, code: str) -> Refusals:
    """As the service words it that is asked."""

    def refuse(action: str, body: bytes) -> Refusal:
        if action:
            return status, "application/x-amz-json-1.0", json.dumps({"__type": code, "message": "as the test asked"})
        text = f"<ErrorResponse><Error><Code>{code}</Code><Message>as the test asked</Message></Error></ErrorResponse>"
        return status, "text/xml", text

    return refuse


def each_entry(code: str) -> Refusals:
    """A 200 in which every entry failed; where there is no list of entries, a refusal of the call."""

    def refuse(action: str, body: bytes) -> Refusal:
        if action.endswith("PutEvents"):
            entries = [{"ErrorCode": code}] * len(json.loads(body)["Entries"])
            reply = {"FailedEntryCount": len(entries), "Entries": entries}
            return 200, "application/x-amz-json-1.1", json.dumps(reply)
        if action.endswith("SendMessageBatch"):
            failed = [{"Id": entry["Id"], "Code": code, "SenderFault": True} for entry in json.loads(body)["Entries"]]
            return 200, "application/x-amz-json-1.0", json.dumps({"Failed": failed, "Successful": []})
        count = len(set(re.findall(rb"PublishBatchRequestEntries\.member\.(\d+)\.Id=", body)))
        if count:
            members = "".join(
                f"<member><Id>{number}</Id><Code>{code}</Code><SenderFault>true</SenderFault></member>"
                for number in range(count)
            )
            result = f"<PublishBatchResult><Failed>{members}</Failed><Successful/></PublishBatchResult>"
            return 200, "text/xml", f"<PublishBatchResponse>{result}</PublishBatchResponse>"
        return worded(403, code)(action, body)

    return refuse


def html(status: int) -> Refusals:
    """As a proxy says it."""
    return lambda action, body: (status, "text/html", "<html><body><h1>Blocked by policy</h1></body></html>")


class Egress:
    """Running when constructed; refuses while `refusal` is set."""

    def __init__(self, to: Address):
        self.refusal: Refusals | None = None
        self.refused = 0
        self.passed = 0
        egress = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if refusal := egress.refusal:
                    egress.refused += 1
                    status, content_type, text = refusal(self.headers.get("x-amz-target", ""), body)
                    return self._reply(status, content_type, text.encode())
                egress.passed += 1
                connection = http.client.HTTPConnection(*to)
                connection.putrequest("POST", self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body)
                response = connection.getresponse()
                self._reply(response.status, response.getheader("content-type", ""), response.read())
                connection.close()

            def _reply(self, status: int, content_type: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", content_type)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self.address: Address = (LOOPBACK, self._server.server_port)
        self._thread = threading.Thread(target=self._server.serve_forever, name="egress", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Egress":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
