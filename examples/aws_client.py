"""Clients of AWS in the region that the URL of a queue names: a queue elsewhere would refuse what is signed for another."""

import re
import sys
from typing import Any

import boto3
from botocore.config import Config

_OF_AWS = re.compile(
    r"https?://([^/]+\.)?(sqs(-fips)?\.(?P<region>[a-z0-9-]+)|(?P<older>[a-z0-9-]+)\.queue)"
    r"(\.vpce)?\.(amazonaws\.(com|eu)(\.cn)?|api\.aws)[:/]"
)


def region_of(queue_url: str) -> str | None:
    """None for an emulator's queue, whose URL names none."""
    found = _OF_AWS.match(queue_url)
    return (found["region"] or found["older"]) if found else None


def client(service: str, queue_url: str, config: Config | None = None) -> Any:
    """Other services than SQS may have a region of their own, which boto3 finds."""
    named, found = region_of(queue_url), boto3.session.Session().region_name
    region = named or found if service == "sqs" else found or named
    if region is None:
        sys.exit(f"no region: {queue_url} names none, so set AWS_DEFAULT_REGION")
    return boto3.client(service, region_name=region, config=config)
