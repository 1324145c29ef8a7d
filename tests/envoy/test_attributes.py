"""Attributes of a type, against filter policies of an SNS that checks and applies them, whatever a client sends."""

import json
from typing import Any

from rig.gateway import StartGateway
from rig.http import send, send_raw
from rig.moto import Moto
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

ATTRIBUTES = {
    "tenant": "${request.headers.x-tenant}",
    "price": {"type": "Number", "value": "${request.headers.x-price}"},
    "tags": {"type": "String.Array", "value": "${request.headers.x-tags}"},
    "roles": {"type": "String.Array", "value": ["${request.headers.x-role}", "any"]},
}
ROUTE = {"method": "PUT", "matcher": "/profile", "attributes": ATTRIBUTES}

POLICIES: dict[str, dict[str, Any]] = {
    "cheap": {"price": [{"numeric": [">=", 0, "<", 20]}]},
    "not cheap": {"price": [{"anything-but": [19.9]}]},
    "of acme": {"tenant": [{"prefix": "ac"}]},
    "not of acme": {"tenant": [{"anything-but": ["acme"]}]},
    "red": {"tags": ["red"]},
    "not admins": {"roles": [{"anything-but": ["admin"]}]},
    "admins": {"roles": ["admin"]},
    "anybody": {"roles": ["any"]},
}


def test_subscribers_filter_by_type(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    topic_arn = moto.create_topic()
    everything = moto.subscribe_queue(topic_arn)
    queues = {
        name: moto.subscribe_queue(topic_arn, FilterPolicy=json.dumps(policy)) for name, policy in POLICIES.items()
    }
    envoy = start_gateway(way, moto.address, moto.create_publisher(), topic_arn=topic_arn, routes=[ROUTE])
    sent: list[dict[str, str]] = [
        {"x-tenant": "acme", "x-price": " 0019.90 ", "x-tags": '["red", 7]', "x-role": "user"},
        {"x-tenant": "other", "x-price": "-2e3", "x-tags": '["blue"]', "x-role": "admin"},
        # What is of no type, and would be another's.
        {"x-tenant": "act", "x-price": "1e99", "x-tags": '["red"', "x-role": 'user","admin'},
        {"x-tenant": "other", "x-price": "5, 6", "x-tags": '{"red": ["red"]}', "x-role": ""},
    ]
    for number, headers in enumerate(sent):
        assert send(envoy.address_of(), "PUT", f"/mockbin/profile?n={number}", headers).status == 200

    def numbers(queue: Any, count: int) -> list[int]:
        events = [json.loads(message["Body"]) for message in moto.receive(queue, count)]
        return sorted(int(event["request"]["querystring"]["n"]) for event in events)

    assert numbers(everything, 4) == [0, 1, 2, 3]
    expected = {
        "cheap": [0],
        "not cheap": [1],
        "of acme": [0, 2],
        "not of acme": [1, 2, 3],
        "red": [0],
        "admins": [1],
        "anybody": [0, 1, 2, 3],
    }
    for name, received in expected.items():
        assert numbers(queues[name], len(received)) == received, name
    wait_for(lambda: envoy.metric("retrohook_attributes_left_out_total") == 4, "two prices and two lists")


# As clients can send them: a tab, and what a client of HTTP/2 or a proxy may pass on.
HOSTILE = [b"a\tb", b'a"b', b"a\\b", b'acme","x":"', b"\\u0000 \\n", b"caf\xe9 \xff", b"\xef\xbf\xbe", b'"\\\t"\\']


def test_a_hostile_value_reaches_every_subscriber(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    """What real SNS delivers where a subscription filters: texts that are JSON between quotes, numbers, lists."""
    routes = [
        {
            **ROUTE,
            "attributes": {
                **{name: "${request.headers.x-hostile}" for name in ("one", "two")},
                "number": {"type": "Number", "value": "${request.headers.x-hostile}"},
                "list": {"type": "String.Array", "value": ["${request.headers.x-hostile}"]},
                "whole": {"type": "String.Array", "value": "${request.headers.x-hostile}"},
                "query": "${request.query.q}",
            },
        }
    ]
    envoy = start_gateway(way, sink.address, routes=routes)
    for value in HOSTILE:
        raw = b"PUT /mockbin/profile?q=%09%0A%0D%22%5C%00%1B HTTP/1.1\r\nhost: gateway\r\ncontent-length: 0\r\n"
        assert send_raw(envoy.address_of(), raw + b"x-hostile: " + value + b"\r\n\r\n") == 200, value
    entries = sink.wait_for_events(len(HOSTILE))
    assert len(entries) == len(HOSTILE)
    for entry in entries:
        for name, (kind, value) in entry.attributes.items():
            match kind:
                case "String":
                    read = json.loads(f'"{value}"')
                    assert read and all(c >= " " for c in read), (name, value)
                case "Number":
                    float(value)
                case "String.Array":
                    assert isinstance(json.loads(value), list), (name, value)
        assert json.loads(f'"{entry.attributes["query"][1]}"') == '   "\\\ufffd\ufffd'
        assert not {"number", "whole"} & entry.attributes.keys()
    texts = {json.loads(f'"{entry.attributes["one"][1]}"') for entry in entries}
    assert {"a b", 'a"b', "a\\b", 'acme","x":"'} <= texts
    lists = [json.loads(entry.attributes["list"][1]) for entry in entries]
    assert all(len(elements) == 1 for elements in lists) and ["a\tb"] in lists
