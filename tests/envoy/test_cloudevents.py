"""CloudEvents through real Envoy, read by the official SDK, from a queue, a subscribed queue and an event bus."""

import json
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from rig.gateway import StartGateway
from rig.http import send
from rig.moto import REGION, Moto


def read(text: str) -> CloudEvent:
    """The SDK refuses what is no CloudEvent: an attribute that is missing, misnamed or of another type."""
    event = JSONFormat().read(None, text)
    assert isinstance(event, CloudEvent)
    return event


@pytest.mark.parametrize("target", ["topic_arn", "queue_url", "event_bus"])
def test_the_official_sdk_reads_what_arrives(start_gateway: StartGateway, moto: Moto, way: str, target: str) -> None:
    if target == "topic_arn":
        name = moto.create_topic()
        arrives = moto.subscribe_queue(name)
    elif target == "queue_url":
        arrives = moto.create_queue()
        name = arrives.url
    else:
        name = moto.create_bus()
        arrives = moto.follow(name, {"detail-type": ["com.example.updated"], "detail": {"specversion": ["1.0"]}})
    settings: dict[str, Any] = {
        "topic_arn": None,
        target: name,
        "region": REGION,
        "endpoint": moto.url,
        "format": "cloudevents",
        "redact": {"path": ["token"]},
        "routes": [{"method": "PUT", "matcher": "^/mockbin/(?<token>[^/]+)/profile$", "event_type": "com.example.updated"}],
    }
    user = moto.create_user(["sns:Publish", "sqs:SendMessage", "events:PutEvents"])
    envoy = start_gateway(way, moto.address, user, **settings)
    for path in ["/mockbin/a/profile", "/mockbin/s3cr3t-t0ken/profile", "/mockbin/%22%C3%A9/profile"]:
        assert send(envoy.address_of(), "PUT", path).status == 200

    messages = moto.receive(arrives, 3)
    texts = [
        json.dumps(json.loads(message["Body"])["detail"]) if target == "event_bus" else message["Body"]
        for message in messages
    ]
    events = [read(text) for text in texts]
    assert len({event.get_id() for event in events}) == 3
    assert {event.get_type() for event in events} == {"com.example.updated"}
    subjects = {event.get_subject() for event in events}
    assert subjects == {"/mockbin/REDACTED/profile"} and "s3cr3t-t0ken" not in "".join(texts)
    for event, message in zip(events, messages, strict=True):
        data: Any = event.get_data()
        assert data["event_id"] == event.get_id() and data["request"]["method"] == "PUT"
        assert event.get_source().endswith("/routes/mockbin") and event.get_datacontenttype() == "application/json"
        time = event.get_time()
        assert time is not None and abs(time.timestamp() * 1000 - data["started_at"]) < 60_000
        if target != "event_bus":
            attributes = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
            assert attributes["ce-id"] == attributes["event_id"] == event.get_id()
            assert attributes["ce-source"] == event.get_source() and len(attributes) == 10


def test_a_type_and_a_path_of_odd_characters_are_read_as_they_are(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    queue = moto.create_queue()
    event_type = 'order placed "é\\u0007" \\ \U0001f600 ' + "x" * 200
    routes = [{"method": "PUT", "matcher": "profile", "event_type": event_type}]
    settings = {"topic_arn": None, "queue_url": queue.url, "region": REGION, "endpoint": moto.url, "format": "cloudevents"}
    envoy = start_gateway(way, moto.address, moto.create_user(["sqs:SendMessage"]), routes=routes, **settings)
    path = "/mockbin/%22%E2%82%AC;a=b/profile"
    assert send(envoy.address_of(), "PUT", f"{path}?q=%22").status == 200
    (message,) = moto.receive(queue, 1)
    event = read(message["Body"])
    assert (event.get_type(), event.get_subject()) == (event_type, path)
    assert message["MessageAttributes"]["ce-type"]["StringValue"] == event_type
