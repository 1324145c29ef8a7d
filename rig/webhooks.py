"""Captured webhooks in a queue, in the form that the gateway gives them."""

import json
from typing import Any

from .moto import Moto, Queue


def captured(webhook_id: str, body: str = '{"type":"payment"}', **changes: Any) -> str:
    """The body of a message; `body` is its JSON as it was received."""
    around = {
        "headers": {"content-type": "application/json", "x-forwarded-for": ["203.0.113.7", "198.51.100.2"]},
        "received_at": "2026-01-01T12:00:00.012Z",
        "path": "/webhook",
        "query": "a=1",
        **changes,
    }
    return f'{{"id":{json.dumps(webhook_id)},"body":{body},{json.dumps(around)[1:]}'


def put(moto: Moto, queue: Queue, *webhook_ids: str, group: str | None = None, **changes: Any) -> None:
    sqs = moto.client("sqs")
    for webhook_id in webhook_ids:
        attributes = {"id": webhook_id, "source": "webhook", "content_type": "application/json"}
        fifo = {"MessageGroupId": group, "MessageDeduplicationId": webhook_id} if group else {}
        sqs.send_message(
            QueueUrl=queue.url,
            MessageBody=captured(webhook_id, **changes),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
            **fifo,
        )
