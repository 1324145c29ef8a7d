"""The main story: a successful request that matches becomes a message in SNS, whichever way Retrohook is in Envoy."""

import json
import re
import uuid

import yaml
from rig.envoy import Envoy
from rig.envoy_config import EXAMPLES, EnvoyConfig
from rig.gateway import MISSION_PUT, StartGateway
from rig.http import send
from rig.moto import Moto
from rig.sns_sink import SnsSink
from rig.waiting import wait_for


def start(start_gateway: StartGateway, moto: Moto, way: str, topic_arn: str, **settings: object) -> Envoy:
    return start_gateway(way, moto.address, moto.create_publisher(), topic_arn=topic_arn, **settings)


def test_the_put_of_the_mission_arrives_in_the_queue(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    topic_arn = moto.create_topic()
    queue = moto.subscribe_queue(topic_arn)
    envoy = start(start_gateway, moto, way, topic_arn)

    reply = send(envoy.address_of(), *MISSION_PUT)
    assert reply.status == 200
    assert reply.headers["x-seen-path"] == "/profile", "the service must not see the prefix"

    (message,) = moto.receive(queue, 1)
    event = json.loads(message["Body"])
    assert event["request"]["method"] == "PUT"
    assert event["request"]["uri"] == "/mockbin/profile", "the event has the client's path, not the service's"
    assert event["response"]["status"] == 200
    assert event["event_type"] == "profile.updated"


def test_what_does_not_match_or_did_not_succeed_is_not_published(
    start_gateway: StartGateway, moto: Moto, way: str
) -> None:
    topic_arn = moto.create_topic()
    queue = moto.subscribe_queue(topic_arn)
    envoy = start(start_gateway, moto, way, topic_arn)
    gateway = envoy.address_of()

    assert send(gateway, "GET", "/mockbin/profile").status == 200
    assert send(gateway, "PUT", "/mockbin/other").status == 404
    assert send(gateway, "PUT", "/mockbin/profile?status=503").status == 503
    assert send(gateway, "PUT", "/mockbin/profile?status=404").status == 404
    assert send(gateway, "PUT", "/mockbin/other?x=/profile").status == 404
    # One worker's events stay in order: once this one is there, the others can no longer come.
    assert send(gateway, "PUT", "/mockbin/profile?last").status == 200

    (message,) = moto.receive(queue, 1)
    assert json.loads(message["Body"])["request"]["uri"] == "/mockbin/profile?last"
    wait_for(lambda: envoy.metric("retrohook_events_published_total") == 1, "the counters")
    assert envoy.metric("retrohook_events_matched_total") == 1


# What a client may ask for and be answered, one way or another.
REQUESTS = [("PUT", "profile", 200), ("GET", "profile", 200), ("PUT", "profile?status=503", 503), ("DELETE", "other", 404)]


def send_all(envoy: Envoy) -> None:
    for method, path, status in REQUESTS:
        assert send(envoy.address_of(), method, f"/mockbin/{path}").status == status


def seen(sink: SnsSink) -> list[tuple[str, str, int]]:
    events = [entry.event for entry in sink.entries()]
    return [
        (event["request"]["method"], event["request"]["uri"].removeprefix("/mockbin/"), event["response"]["status"])
        for event in events
    ]


def test_the_routes_decide_what_becomes_an_event(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    envoy = start_gateway(way, sink.address, routes=[{"method": "*", "matcher": "/mockbin/", "status": "*"}])
    send_all(envoy)
    sink.wait_for_events(len(REQUESTS))
    assert sorted(seen(sink)) == sorted(REQUESTS)


def test_the_filter_that_is_commented_out_hides_from_the_routes(start_gateway: StartGateway, sink: SnsSink) -> None:
    """As the comment says."""
    text = EXAMPLES["access-logger"].read_text()
    (commented,) = re.findall(r"^ +# filter:\n(?: +#  .+\n)+", text, re.MULTILINE)
    optional = yaml.safe_load(re.sub(r"^ +# ", "", commented, flags=re.MULTILINE))

    def adjust(config: EnvoyConfig) -> None:
        (logger,) = config.http_manager["access_log"]
        logger.update(optional)

    routes = [{"method": "*", "matcher": "/mockbin/", "status": "*"}]
    envoy = start_gateway("access-logger", sink.address, adjust=adjust, routes=routes)
    send_all(envoy)
    send_all(envoy)
    sink.wait_for_events(2)
    # One worker's events stay in order: once the second is there, what came before it can no longer come.
    assert seen(sink) == [REQUESTS[0]] * 2
    wait_for(lambda: envoy.metric("retrohook_events_matched_total") == 2, "two matched requests")


def test_every_event_has_an_id_of_its_own_in_message_and_attributes(
    start_gateway: StartGateway, moto: Moto, way: str
) -> None:
    topic_arn = moto.create_topic()
    queue = moto.subscribe_queue(topic_arn)
    envoy = start(start_gateway, moto, way, topic_arn)
    for _ in range(25):
        send(envoy.address_of(), *MISSION_PUT)

    messages = moto.receive(queue, 25)
    in_messages = [json.loads(message["Body"])["event_id"] for message in messages]
    in_attributes = [message["MessageAttributes"]["event_id"]["StringValue"] for message in messages]
    assert in_messages == in_attributes
    assert len({uuid.UUID(event_id) for event_id in in_messages}) == 25


def test_subscribers_can_filter_by_attributes(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    topic_arn = moto.create_topic()
    everything = moto.subscribe_queue(topic_arn)
    of_acme = moto.subscribe_queue(topic_arn, FilterPolicy=json.dumps({"tenant": ["acme"]}))
    successes = moto.subscribe_queue(
        topic_arn, FilterPolicy=json.dumps({"status": [{"numeric": [">=", 200, "<", 300]}]})
    )
    failures = moto.subscribe_queue(topic_arn, FilterPolicy=json.dumps({"status": [{"numeric": [">=", 500]}]}))
    route = {
        "method": "PUT",
        "matcher": "/(?P<what>profile)$",
        "event_type": "profile.updated",
        "attributes": {"tenant": "${request.headers.x-tenant}", "what": "${path.what}"},
    }
    envoy = start(start_gateway, moto, way, topic_arn, routes=[route], attributes={"site": "eu-1"})
    for tenant in ("acme", "other"):
        send(envoy.address_of(), "PUT", "/mockbin/profile", {"x-tenant": tenant})

    assert len(moto.receive(everything, 2)) == 2
    assert len(moto.receive(successes, 2)) == 2
    (message,) = moto.receive(of_acme, 1)
    attributes = {
        name: (value["DataType"], value["StringValue"]) for name, value in message["MessageAttributes"].items()
    }
    event_id = json.loads(message["Body"])["event_id"]
    assert attributes == {
        "event_id": ("String", event_id),
        "event_type": ("String", "profile.updated"),
        "method": ("String", "PUT"),
        "status": ("Number", "200"),
        "route": ("String", "mockbin"),
        "tenant": ("String", "acme"),
        "what": ("String", "profile"),
        "site": ("String", "eu-1"),
    }
    # All of these subscriptions are served by the same Publish, so that nothing more is on its way.
    assert not moto.client("sqs").receive_message(QueueUrl=failures.url).get("Messages")


def test_a_fifo_topic_gets_groups_and_keeps_their_order(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    topic_arn = moto.create_topic(fifo=True)
    queue = moto.subscribe_queue(topic_arn, fifo=True)
    route = {"method": "PUT", "matcher": "^/mockbin/(?P<user>\\w+)/profile$", "message_group_id": "${path.user}"}
    envoy = start(start_gateway, moto, way, topic_arn, routes=[route])
    for number in range(12):
        send(envoy.address_of(), "PUT", f"/mockbin/{'ada' if number % 2 else 'bob'}/profile?n={number}")

    messages = moto.receive(queue, 12)
    seen: dict[str, list[int]] = {}
    for message in messages:
        event = json.loads(message["Body"])
        group = message["Attributes"]["MessageGroupId"]
        assert message["Attributes"]["MessageDeduplicationId"] == event["event_id"]
        assert event["request"]["uri"].startswith(f"/mockbin/{group}/")
        seen.setdefault(group, []).append(int(event["request"]["querystring"]["n"]))
    assert seen == {"bob": list(range(0, 12, 2)), "ada": list(range(1, 12, 2))}
