"""Messages in a form of the operator's own, through real Envoy."""

import json

from rig.gateway import StartGateway
from rig.http import send
from rig.moto import Moto

HOSTILE = 'a","b":"c\\u0000'


def test_a_message_of_five_fields_arrives(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    topic_arn = moto.create_topic()
    queue = moto.subscribe_queue(topic_arn)
    message = {
        "tenant": "${request.headers.x-tenant}",
        "status": "${response.status}",
        "who": {"ip": "${client_ip}", "key": "${request.headers.authorization}"},
        "what": ["${request.method}", "of ${request.path}", None, 1.5],
        "none": "${request.headers.x-none}",
        "server": "${response.headers.x-seen-path}",
        "at": "${started_at}",
        "route": "${route.name} at ${service.name}",
    }
    envoy = start_gateway(way, moto.address, moto.create_publisher(), topic_arn=topic_arn, message=message)
    headers = {"x-tenant": HOSTILE, "authorization": "Bearer s3cret"}
    assert send(envoy.address_of(), "PUT", "/mockbin/profile?n=1", headers).status == 200

    (received,) = moto.receive(queue, 1)
    event = json.loads(received["Body"])
    assert isinstance(event.pop("at"), int)
    assert event == {
        "tenant": HOSTILE,
        "status": 200,
        "who": {"ip": "127.0.0.1", "key": "REDACTED"},
        "what": ["PUT", "of /mockbin/profile", None, 1.5],
        "none": None,
        "server": "/profile?n=1",
        "route": "mockbin at mockbin",
    }
    assert received["MessageAttributes"]["event_id"]["StringValue"]
