"""Which routes take an exchange, through real Envoy: conditions, samples, and several events of one exchange."""

import json

from rig.gateway import StartGateway
from rig.http import send
from rig.moto import REGION, Moto

ACTIONS = ["sns:Publish", "sqs:SendMessage"]

# The cluster of the shipped configuration, behind which a test has its AWS.
CLUSTER = "sns.us-east-1.amazonaws.com:443"


def test_conditions_choose_the_target(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    acme, rest = moto.create_queue(), moto.create_queue()
    conditions = {
        "request.headers.x-tenant": ["acme", "acme-eu"],
        "request.query.mode": {"matches": "^(a|b)$"},
        "request.headers.x-dry": {"exists": False},
        "response.headers.x-seen-path": {"matches": "^/profile"},
    }
    route = {"method": "PUT", "matcher": "/profile", "region": REGION, "upstream": CLUSTER}
    routes = [{**route, "queue_url": acme.url, "when": conditions}, {**route, "queue_url": rest.url}]
    settings = {"topic_arn": None, "upstream": None, "endpoint": None, "routes": routes}
    envoy = start_gateway(way, moto.address, moto.create_user(ACTIONS), **settings)
    for number, (headers, mode) in enumerate(
        [({"x-tenant": "acme"}, "a"), ({"x-tenant": "acme-eu"}, "b"), ({"x-tenant": "acme"}, "c"), ({}, "a"),
         ({"x-tenant": "acme", "x-dry": "1"}, "a"), ({"x-tenant": "other"}, "a")]
    ):  # fmt: skip
        assert send(envoy.address_of(), "PUT", f"/mockbin/profile?mode={mode}&n={number}", headers).status == 200

    def numbers(messages: list[dict[str, str]]) -> list[int]:
        return sorted(int(json.loads(message["Body"])["request"]["querystring"]["n"]) for message in messages)

    assert numbers(moto.receive(acme, 2)) == [0, 1]
    assert numbers(moto.receive(rest, 4)) == [2, 3, 4, 5]


def test_one_change_goes_to_two_targets(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    topic_arn, audit = moto.create_topic(), moto.create_queue()
    arrives = moto.subscribe_queue(topic_arn)
    routes = [
        {"method": "PUT", "matcher": "/profile", "event_type": "profile.updated", "continue": True},
        {"method": "PUT", "matcher": "/profile", "event_type": "audit", "message": {"uri": "${request.path}"},
         "queue_url": audit.url, "region": REGION, "upstream": CLUSTER},
        {"method": "PUT", "matcher": "/", "event_type": "unreached"},
    ]  # fmt: skip
    envoy = start_gateway(way, moto.address, moto.create_user(ACTIONS), topic_arn=topic_arn, routes=routes)
    for _ in range(5):
        assert send(envoy.address_of(), "PUT", "/mockbin/profile").status == 200

    events = moto.receive(arrives, 5)
    audits = moto.receive(audit, 5)
    assert {json.loads(event["Body"])["event_type"] for event in events} == {"profile.updated"}
    assert {each["Body"] for each in audits} == {'{"uri":"/mockbin/profile"}'}
    ids = [message["MessageAttributes"]["event_id"]["StringValue"] for message in [*events, *audits]]
    assert len(set(ids)) == 10
