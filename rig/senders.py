"""Webhooks as providers send them: each with its id where its provider puts it, and signed with a secret that the gateways of tests
know.
"""

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Any

from .webhook_stage import SECRET, signed

WHSEC = b"a secret of 24 bytes, or more"

# The variable that `verify` names.
ENVIRONMENT = {"HOOK_SECRET": SECRET}


@dataclass(frozen=True)
class Sent:
    target: str
    headers: list[tuple[str, str]]
    body: str

    def request(self) -> bytes:
        """As it goes over the wire."""
        lines = [f"POST {self.target} HTTP/1.1", "host: gateway", f"content-length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + f"\r\n\r\n{self.body}").encode()

    def adding(self, *headers: tuple[str, str]) -> "Sent":
        """It, behind further headers."""
        return Sent(self.target, [*headers, *self.headers], self.body)

    def without(self, name: str) -> "Sent":
        return Sent(self.target, [header for header in self.headers if header[0] != name], self.body)


def verify(scheme: str) -> dict[str, Any]:
    """`verify` of a capture that takes these webhooks."""
    secret = base64.b64encode(WHSEC).decode() if scheme == "standard-webhooks" else "${env.HOOK_SECRET}"
    return {"scheme": scheme, "secrets": [secret]}


def github(delivery: str, body: str, hook: str = "1", target: str = "/webhook") -> Sent:
    signature = hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
    headers = [("x-github-delivery", delivery), ("x-github-hook-id", hook), ("x-hub-signature-256", f"sha256={signature}")]
    return Sent(target, headers, body)


def svix(webhook_id: str, body: str, target: str = "/webhook") -> Sent:
    now = str(int(time.time()))
    signature = base64.b64encode(hmac.new(WHSEC, f"{webhook_id}.{now}.{body}".encode(), hashlib.sha256).digest()).decode()
    return Sent(target, [("svix-id", webhook_id), ("svix-timestamp", now), ("svix-signature", f"v1,{signature}")], body)


def stripe(target: str, body: str) -> Sent:
    return Sent(target, list(signed(body).items()), body)


def google(number: int) -> Sent:
    return Sent("/webhook", [("x-goog-channel-id", "c"), ("x-goog-message-number", str(number))], "")
