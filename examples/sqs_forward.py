"""Sends a received message on to another queue. It never deletes one: that is the caller's, afterwards."""

from typing import Any

# What `receive_message` is asked for, so that a message can be sent on as it is.
WHOLE_MESSAGE = {
    "MessageAttributeNames": ["All"],
    "MessageSystemAttributeNames": ["MessageGroupId", "ApproximateReceiveCount"],
}


def forward(sqs: Any, message: dict[str, Any], queue_url: str, why: str) -> str:
    """Returns the id that the message has in the queue at `queue_url`. Its body, its attributes and its group stay."""
    sent = sqs.send_message(
        QueueUrl=queue_url,
        MessageBody=message["Body"],
        MessageAttributes=message.get("MessageAttributes", {}),
        **_ordered(message, queue_url, why),
    )
    return sent["MessageId"]


def _ordered(message: dict[str, Any], queue_url: str, why: str) -> dict[str, str]:
    group = message.get("Attributes", {}).get("MessageGroupId")
    if group is None:
        return {}
    if not queue_url.endswith(".fifo"):
        return {"MessageGroupId": group}
    # Not the id that it had: SQS would take it for the one that it got before, say that it has it,
    # and drop it.
    return {"MessageGroupId": group, "MessageDeduplicationId": f"{why}-{message['MessageId']}"}
