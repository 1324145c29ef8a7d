"""The trace of a request, through real Envoy to where a target has a place for it."""

import json

from rig.gateway import StartGateway
from rig.http import send
from rig.moto import REGION, Moto

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OF_PARENT = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"
OWN = "Root=1-58406520-a006649127e371903a2de979;Sampled=0"
GARBAGE = '00-"\\;=é'


def test_a_trace_arrives_where_the_target_has_a_place_for_it(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    queue = moto.create_queue()
    user = moto.create_user(["sqs:SendMessage"])
    # Of a batch moto forgets the system attributes.
    settings = {"topic_arn": None, "queue_url": queue.url, "region": REGION, "batch": {"max_entries": 1}}
    envoy = start_gateway(way, moto.address, user, endpoint=None, **settings)
    sent = [{"traceparent": PARENT}, {"traceparent": PARENT, "x-amzn-trace-id": OWN}, {"traceparent": GARBAGE, "x-amzn-trace-id": GARBAGE}, {}]
    for number, headers in enumerate(sent):
        assert send(envoy.address_of(), "PUT", f"/mockbin/profile?n={number}", headers).status == 200

    sqs, found = moto.client("sqs"), {}
    while len(found) < len(sent):
        received = sqs.receive_message(
            QueueUrl=queue.url, MaxNumberOfMessages=10, WaitTimeSeconds=1,
            MessageSystemAttributeNames=["AWSTraceHeader"], MessageAttributeNames=["traceparent"],
        )  # fmt: skip
        for message in received.get("Messages", []):
            number = int(json.loads(message["Body"])["request"]["querystring"]["n"])
            parent = message.get("MessageAttributes", {}).get("traceparent", {}).get("StringValue")
            found[number] = (message.get("Attributes", {}).get("AWSTraceHeader"), parent)
    assert found == {0: (OF_PARENT, PARENT), 1: (OWN, PARENT), 2: (None, None), 3: (None, None)}
