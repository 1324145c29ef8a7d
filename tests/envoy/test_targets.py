"""Queues and event buses beside topics: what arrives in a real SQS and EventBridge, signed and allowed."""

import json
import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest
from rig.envoy import Envoy
from rig.envoy_config import EnvoyConfig
from rig.gateway import MISSION_PUT, StartGateway
from rig.http import send
from rig.moto import REGION, Moto
from rig.waiting import wait_for


def start(start_gateway: StartGateway, moto: Moto, way: str, actions: list[str], **settings: object) -> Envoy:
    """A gateway whose Envoy has a cluster named after the endpoint of moto's queues."""
    own: dict[str, object] = {"topic_arn": None, "upstream": None, **settings}
    return start_gateway(way, moto.address, moto.create_user(actions), adjust=reach(moto), **own)


def reach(moto: Moto) -> Callable[[EnvoyConfig], None]:
    host, port = moto.address
    return lambda config: config.add_cluster(f"{host}:{port}", moto.address)


def test_a_queue_gets_events_and_their_attributes(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    queue = moto.create_queue()
    envoy = start(start_gateway, moto, way, ["sqs:SendMessage"], queue_url=queue.url, region=REGION)
    for _ in range(25):
        assert send(envoy.address_of(), *MISSION_PUT).status == 200

    messages = moto.receive(queue, 25)
    events = [json.loads(message["Body"]) for message in messages]
    assert len({uuid.UUID(event["event_id"]) for event in events}) == len(events) == 25
    for message, event in zip(messages, events, strict=True):
        attributes = {
            name: (value["DataType"], value["StringValue"]) for name, value in message["MessageAttributes"].items()
        }
        assert attributes == {
            "event_id": ("String", event["event_id"]),
            "event_type": ("String", "profile.updated"),
            "method": ("String", "PUT"),
            "status": ("Number", "200"),
            "route": ("String", "mockbin"),
        }
        assert event["request"]["uri"] == "/mockbin/profile"
    wait_for(lambda: envoy.metric("retrohook_events_published_total") == 25, "the metric")


def test_a_fifo_queue_gets_groups_and_keeps_their_order(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    queue = moto.create_queue(fifo=True)
    route = {"method": "PUT", "matcher": "^/mockbin/(?P<user>\\w+)/profile$", "message_group_id": "${path.user}"}
    envoy = start(start_gateway, moto, way, ["sqs:SendMessage"], queue_url=queue.url, region=REGION, routes=[route])
    for number in range(12):
        send(envoy.address_of(), "PUT", f"/mockbin/{'ada' if number % 2 else 'bob'}/profile?n={number}")

    seen: dict[str, list[int]] = {}
    for message in moto.receive(queue, 12):
        event = json.loads(message["Body"])
        group = message["Attributes"]["MessageGroupId"]
        assert message["Attributes"]["MessageDeduplicationId"] == event["event_id"]
        seen.setdefault(group, []).append(int(event["request"]["querystring"]["n"]))
    assert seen == {"bob": list(range(0, 12, 2)), "ada": list(range(1, 12, 2))}


def test_rules_of_an_event_bus_match_what_the_detail_says(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    bus = moto.create_bus()
    everything = moto.follow(bus, {"source": ["retrohook"], "detail-type": ["profile.updated"]})
    success, failure = {"numeric": [">=", 200, "<", 300]}, {"numeric": [">=", 500]}
    of_acme = moto.follow(bus, {"detail": {"attributes": {"tenant": ["acme"], "status": [success]}}})
    failures = moto.follow(bus, {"detail": {"attributes": {"status": [failure]}}})
    settings = {
        "event_bus": bus,
        "region": REGION,
        "endpoint": moto.url,
        "attributes": {"tenant": "${request.headers.x-tenant}"},
    }
    envoy = start(start_gateway, moto, way, ["events:PutEvents"], **settings)
    for number in range(12):
        tenant = "acme" if number == 7 else "other"
        send(envoy.address_of(), "PUT", f"/mockbin/profile?n={number}", {"x-tenant": tenant})

    bodies = [json.loads(message["Body"]) for message in moto.receive(everything, 12)]
    assert sorted(int(body["detail"]["request"]["querystring"]["n"]) for body in bodies) == list(range(12))
    (message,) = moto.receive(of_acme, 1)
    event = json.loads(message["Body"])
    assert (event["source"], event["detail-type"]) == ("retrohook", "profile.updated")
    assert event["detail"]["request"]["querystring"] == {"n": "7"}
    attributes = event["detail"]["attributes"]
    assert attributes.pop("event_id") == event["detail"]["event_id"]
    assert attributes == {
        "event_type": "profile.updated", "tenant": "acme", "method": "PUT", "status": 200, "route": "mockbin",
    }  # fmt: skip
    # All of these rules are served by the same call, so that nothing more is on its way.
    assert not moto.client("sqs").receive_message(QueueUrl=failures.url).get("Messages")


def test_each_route_may_have_its_own_target(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    topic_arn, queue, bus = moto.create_topic(), moto.create_queue(), moto.create_bus()
    of_topic, of_bus = moto.subscribe_queue(topic_arn), moto.follow(bus, {"source": ["retrohook"]})
    routes = [
        {"method": "PUT", "matcher": "/a/profile"},
        {"method": "PUT", "matcher": "/b/profile", "queue_url": queue.url, "region": REGION},
        {"method": "PUT", "matcher": "/c/profile", "event_bus": bus, "endpoint": moto.url},
    ]
    actions = ["sns:Publish", "sqs:SendMessage", "events:PutEvents"]
    settings = {"topic_arn": topic_arn, "endpoint": moto.url, "routes": routes}
    envoy = start(start_gateway, moto, way, actions, **settings)
    for path in "abcabcbbc":
        assert send(envoy.address_of(), "PUT", f"/mockbin/{path}/profile").status == 200

    def uris(bodies: list[str]) -> list[str]:
        events = [json.loads(body) for body in bodies]
        return [event.get("detail", event)["request"]["uri"] for event in events]

    for where, count, path in [(of_topic, 2, "a"), (queue, 4, "b"), (of_bus, 3, "c")]:
        bodies = [message["Body"] for message in moto.receive(where, count)]
        assert uris(bodies) == [f"/mockbin/{path}/profile"] * count
    wait_for(lambda: envoy.metric("retrohook_events_published_total") == 9, "the metric")


def test_what_is_not_allowed_for_too_long_is_a_dead_letter_that_names_the_queue(
    start_gateway: StartGateway, moto: Moto, way: str
) -> None:
    queue = moto.create_queue()
    settings = {"queue_url": queue.url, "region": REGION, "queue": {"max_age_seconds": 2}}
    envoy = start(start_gateway, moto, way, ["sqs:ReceiveMessage"], **settings)
    send(envoy.address_of(), *MISSION_PUT)
    wait_for(lambda: "retrohook-dead-letter " in envoy.log(), "a dead letter in the log")
    (letter,) = (line for line in envoy.log().splitlines() if "retrohook-dead-letter " in line)
    content = json.loads(letter.partition("retrohook-dead-letter ")[2].partition(" retrohook-end")[0])
    assert content["target"] == {"queue_url": queue.url, "region": REGION}
    assert content["reason"] == "expired" and "AccessDenied" in content["error"]


@pytest.mark.parametrize("kind", ["queue_url", "event_bus"])
def test_what_another_secret_signs_is_refused(start_gateway: StartGateway, moto: Moto, way: str, kind: str) -> None:
    """Without this the other tests would say nothing of signatures."""
    name = moto.create_queue().url if kind == "queue_url" else moto.create_bus()
    user = moto.create_user(["sqs:SendMessage", "events:PutEvents"])
    wrong = replace(user, secret_access_key=user.secret_access_key[::-1])
    settings: dict[str, object] = {kind: name, "topic_arn": None, "region": REGION, "endpoint": moto.url}
    envoy = start_gateway(way, moto.address, wrong, **settings)
    send(envoy.address_of(), *MISSION_PUT)
    wait_for(lambda: f"calls to {name} are refused" in envoy.log(), "the refusal in the log")
    assert "SignatureDoesNotMatch" in envoy.log()


def test_what_a_topic_refuses_for_too_long_goes_to_the_queue_of_dead_letters(
    start_gateway: StartGateway, moto: Moto, way: str
) -> None:
    queue = moto.create_queue()
    dead_letter = {"queue_url": queue.url, "region": REGION}
    keys = moto.create_user(["sqs:SendMessage"])
    topic = moto.create_topic()
    settings = {"topic_arn": topic, "dead_letter": dead_letter, "queue": {"max_age_seconds": 4}}
    envoy = start_gateway(way, moto.address, keys, adjust=reach(moto), **settings)
    for _ in range(3):
        send(envoy.address_of(), *MISSION_PUT)
    letters = [json.loads(message["Body"]) for message in moto.receive(queue, 3)]
    assert {letter["target"]["topic_arn"] for letter in letters} == {topic}
    assert {letter["reason"] for letter in letters} == {"expired"}
    wait_for(lambda: envoy.metric("retrohook_dead_letters_stored_total") == 3, "the metric")
    assert "retrohook-dead-letter" not in envoy.log()
