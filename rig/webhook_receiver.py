"""The receiver of a webhook, which checks signatures with the official library and answers as badly as a test wants."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from .sns_answers import Answer
from .sns_sink import SnsSink

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@dataclass(frozen=True)
class WebhookRequest:
    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @cached_property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def number(self) -> str:
        """The `n` in the query string of the exchange."""
        return self.event["request"]["querystring"]["n"]

    # What a sink asks a request for: one event, whose entry has no other name.
    @property
    def summaries(self) -> "list[WebhookRequest]":
        return [self]

    @property
    def entries(self) -> "list[WebhookRequest]":
        return [self]

    @property
    def entry_id(self) -> str:
        return self.event_id

    mark = None

    def is_signed_with(self, secret: str) -> bool:
        try:
            Webhook(secret).verify(self.body.decode(), self.headers)
        except WebhookVerificationError:
            return False
        return True


Status = Callable[[WebhookRequest], int]


class WebhookReceiver(SnsSink):
    """Takes what is signed with its secret, and answers 401 to all else."""

    read_request = WebhookRequest
    content_type = "application/json"
    secret = SECRET

    def __init__(self, tls: Any = None, port: int = 0):
        super().__init__(tls, port)
        self.answers = self.take

    def take(self, request: WebhookRequest, status: int = 204) -> Answer:
        if not request.is_signed_with(self.secret):
            return Answer(401, b"")
        return Answer(status, b"", stored=frozenset([request.event_id]))

    def answer_with(self, status: int, **how: Any) -> None:
        """Takes nothing any more."""
        self.answers = lambda request: Answer(status, b"", **how)
