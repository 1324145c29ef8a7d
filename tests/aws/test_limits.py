"""Limits that the code and the documentation state are those of botocore's models, where the models have them.

They change: a new botocore that says something else fails here.
"""

import re

import botocore.session
import pytest
from rig import PROJECT

KIB = 1024


def source(path: str) -> str:
    return (PROJECT / "src" / "aws" / path).read_text()


def constant(path: str, name: str) -> int:
    found = re.search(rf"const {name}: \w+ = ([\d_]+);", source(path))
    assert found, f"{name} in {path}"
    return int(found[1])


def words(service: str, operation: str, member: str | None = None) -> str:
    model = botocore.session.get_session().get_service_model(service).operation_model(operation)
    documented = model.input_shape.members[member] if member else model
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", "", documented.documentation))


SNS, MOST_SNS = constant("sns/mod.rs", "MAX_MESSAGE_BYTES"), constant("sns/mod.rs", "MOST_MESSAGE_BYTES")
SQS = constant("sqs/mod.rs", "MAX_MESSAGE_BYTES")
EVENTS = constant("eventbridge/mod.rs", "MAX_BATCH_BYTES")


@pytest.mark.parametrize(
    "service, operation, member, says",
    [
        ("sns", "Publish", "Message", rf"a message can be at most 256 KiB in size \({SNS:,} bytes"),
        ("sns", "Publish", "Message", rf"MaximumMessageSize attribute, which supports values up to 1 MiB \({MOST_SNS:,} bytes\)"),
        ("sns", "PublishBatch", None, r"(?i)combined size of all messages in the batch.*must not exceed the topic's MaximumMessageSize"),
        ("sns", "SetTopicAttributes", "AttributeName", rf"MaximumMessageSize .*1024 to {MOST_SNS} .*default is {SNS} "),
        ("sqs", "SendMessageBatch", None, rf"individual message size and the maximum total payload size .*are both 1 MiB {SQS:,} bytes"),
        ("sqs", "SendMessage", "MessageSystemAttributes", r"AWSTraceHeader\. Its type must be String"),
        ("sqs", "SendMessage", "MessageSystemAttributes", r"does(n't| not) count towards the total size"),
        ("events", "PutEvents", None, r"total entry size must be less than 1MB"),
    ],
)  # fmt: skip
def test_the_limits_are_those_of_botocore_s_model(service: str, operation: str, member: str | None, says: str) -> None:
    text = words(service, operation, member)
    assert re.search(says, text), text


def test_the_sizes_are_what_they_are_called() -> None:
    assert (SNS, MOST_SNS, SQS, EVENTS) == (256 * KIB, KIB * KIB, KIB * KIB, KIB * KIB)


def test_a_call_has_ten_events_and_a_trace_fits() -> None:
    entries = botocore.session.get_session().get_service_model("events").operation_model("PutEvents").input_shape.members["Entries"]
    assert entries.metadata["max"] == constant("protocol.rs", "MAX_EVENTS")
    assert entries.member.members["TraceHeader"].metadata["max"] >= len("Root=1-58406520-a006649127e371903a2de979;Parent=53995c3f42cd8ad8;Sampled=1")
