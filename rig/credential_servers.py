"""Small servers that hand out credentials as AWS does: IMDSv2, the ECS container endpoint and STS, with their failure modes.

Each answers what `faults` holds for a path before it answers as it should, and remembers what it was asked.
"""

import json
import secrets
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from . import LOOPBACK
from .http import Address
from .signatures import Key, is_right
from .sns_request import SnsRequest

ROLES = "/latest/meta-data/iam/security-credentials/"
TOKEN = "/latest/api/token"


class Mint:
    """Makes keys; the newest is the one that AWS knows, or any of those made since `forget_older_than`."""

    def __init__(self, lifetime: float = 3600.0):
        self.lifetime = lifetime
        self.keys: dict[str, Key] = {}
        self.ends: dict[str, datetime] = {}
        self.rotate()

    def rotate(self) -> Key:
        number = len(self.keys) + 1
        key = Key(f"ASIA{number:016}", secrets.token_hex(20), f"{secrets.token_urlsafe(300)}+/==")
        self.ends[key.access_key_id] = datetime.now(UTC) + timedelta(seconds=self.lifetime)
        self.keys[key.access_key_id] = key
        self.newest = key
        return key

    def document(self) -> dict[str, str]:
        key = self.newest
        return {
            "Code": "Success",
            "AccessKeyId": key.access_key_id,
            "SecretAccessKey": key.secret_access_key,
            "Token": key.session_token,
            "Expiration": self.ends[key.access_key_id].strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


Answer = tuple[int, str]


class CredentialServer:
    """Ready when constructed; `answer` is what it does without faults."""

    def __init__(self) -> None:
        self.faults: dict[str, deque[Answer]] = defaultdict(deque)
        """Path to answers that come first."""
        self.delay = 0.0
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = SnsRequest(self.command, self.path, headers, self.rfile.read(length))
                outer.asked.append(f"{self.command} {self.path}")
                time.sleep(outer.delay)
                faults = outer.faults[self.path]
                status, body = faults.popleft() if faults else outer.answer(request)
                self.send_response(status)
                self.send_header("content-length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            do_GET = do_PUT = do_POST = do

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.address: Address = self._server.server_address[:2]  # type: ignore[assignment]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, request: SnsRequest) -> Answer:
        raise NotImplementedError

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Imds(CredentialServer):
    """Version 2 only: without a token of its own it answers 401."""

    role = "gateway-role"

    def __init__(self, mint: Mint):
        self.mint = mint
        self.tokens: set[str] = set()
        self.all_tokens: set[str] = set()
        super().__init__()

    def answer(self, request: SnsRequest) -> Answer:
        if request.target == TOKEN:
            if request.method != "PUT" or "x-aws-ec2-metadata-token-ttl-seconds" not in request.headers:
                return 400, ""
            token = secrets.token_urlsafe(40)
            self.tokens.add(token)
            self.all_tokens.add(token)
            return 200, token
        if request.headers.get("x-aws-ec2-metadata-token") not in self.tokens:
            return 401, ""
        if request.target == ROLES:
            return 200, self.role
        if request.target == ROLES + self.role:
            return 200, json.dumps(self.mint.document())
        return 404, ""


class ContainerEndpoint(CredentialServer):
    path = "/v2/credentials/7c2f"

    def __init__(self, mint: Mint):
        self.mint = mint
        self.token = secrets.token_urlsafe(40)
        super().__init__()

    def answer(self, request: SnsRequest) -> Answer:
        if request.target != self.path:
            return 404, ""
        if request.headers.get("authorization") != self.token:
            return 401, json.dumps({"code": "Unauthorized", "message": self.token})
        return 200, json.dumps({**self.mint.document(), "RoleArn": "arn:aws:iam::123456789012:role/task"})


class Sts(CredentialServer):
    """Knows the caller by `who`, and checks the signature."""

    def __init__(self, mint: Mint, who: Callable[[], Key]):
        self.mint = mint
        self.who = who
        self.parameters: list[dict[str, str]] = []
        self.deny = False
        super().__init__()

    def answer(self, request: SnsRequest) -> Answer:
        self.parameters.append({name: value for name, (value,) in parse_qs(request.body.decode()).items()})
        if not is_right(request, self.who(), "sts"):
            return 403, self._error("SignatureDoesNotMatch", "the test computes another signature")
        role = self.parameters[-1]["RoleArn"]
        if self.deny:
            who = "arn:aws:sts::123456789012:assumed-role/gateway-role/i-1"
            return 403, self._error(
                "AccessDenied", f"User: {who} is not authorized to perform: sts:AssumeRole on resource: {role}"
            )
        keys = self.mint.document()
        return 200, (
            '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
            f"<AccessKeyId>{keys['AccessKeyId']}</AccessKeyId><SecretAccessKey>{keys['SecretAccessKey']}</SecretAccessKey>"
            f"<SessionToken>{keys['Token']}</SessionToken><Expiration>{keys['Expiration']}</Expiration></Credentials>"
            "</AssumeRoleResult></AssumeRoleResponse>"
        )

    @staticmethod
    def _error(code: str, message: str) -> str:
        return (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            "</ErrorResponse>"
        )


class WebIdentitySts(CredentialServer):
    """STS, for whoever has a token of the cluster's: no request to it is signed. Envoy asks for JSON."""

    def __init__(self, mint: Mint, token: str):
        self.mint = mint
        self.token = token
        super().__init__()

    def answer(self, request: SnsRequest) -> Answer:
        parameters = {name: value for name, (value,) in parse_qs(request.target.partition("?")[2]).items()}
        if (parameters["Action"], parameters["WebIdentityToken"]) != ("AssumeRoleWithWebIdentity", self.token):
            return 403, "{}"
        keys = self.mint.document()
        credentials = {
            "AccessKeyId": keys["AccessKeyId"],
            "SecretAccessKey": keys["SecretAccessKey"],
            "SessionToken": keys["Token"],
            "Expiration": time.time() + self.mint.lifetime,
        }
        result = {"AssumeRoleWithWebIdentityResult": {"Credentials": credentials}}
        return 200, json.dumps({"AssumeRoleWithWebIdentityResponse": result})
