"""Signatures that botocore computes again from what arrived."""

import re
from dataclasses import dataclass

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from .sns_request import SnsRequest


def key_id(request: SnsRequest) -> str:
    """Whose key signed it; empty if nobody's."""
    match = re.search(r"Credential=([^/]+)/", request.headers.get("authorization", ""))
    return match[1] if match else ""


@dataclass(frozen=True)
class Key:
    """Temporary credentials."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None

    @property
    def secrets(self) -> list[str]:
        return [each for each in (self.secret_access_key, self.session_token) if each]


def is_right(request: SnsRequest, key: Key, service: str, region: str = "us-east-1") -> bool:
    """Whether `key` signed `request` for `service`, session token included."""
    header = request.headers.get("authorization", "")
    signed = header.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    if key_id(request) != key.access_key_id or request.headers.get("x-amz-security-token") != key.session_token:
        return False
    due = {"host", "x-amz-date"} | ({"x-amz-security-token"} if key.session_token else set())
    if not due <= set(signed):
        return False
    headers = {name: request.headers[name] for name in signed}
    url = f"https://{request.headers['host']}{request.target}"
    aws_request = AWSRequest(method=request.method, url=url, data=request.body, headers=headers)
    aws_request.context["timestamp"] = request.headers["x-amz-date"]
    credentials = BotocoreCredentials(key.access_key_id, key.secret_access_key, key.session_token)
    auth = SigV4Auth(credentials, service, region)
    expected = auth.signature(auth.string_to_sign(aws_request, auth.canonical_request(aws_request)), aws_request)
    return header.rpartition("Signature=")[2] == expected
