"""Messages in a form of the operator's own, through real Envoy."""

import json

import pytest

from rig.gateway import StartGateway
from rig.http import send, send_raw
from rig.moto import Moto

HOSTILE = 'a","b":"c\\u0000'

# The lines of each header that a request has.
LINES = {
    "host": ["gateway.example"],
    "x-one": ["1"],
    "x-two": ["a", "b"],
    "x-comma": ["a, b"],
    "x-empty": [""],
    "x-none": [],
    "x-bytes": ["caf\xff"],
    "x-quotes": ["'];x['\"\\"],
}


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


# A message with more than four headers of the request has all of them read, and with four a question names each.
@pytest.mark.parametrize(
    "names", [["host", "x-one", "x-two", "x-comma"], ["x-empty", "x-none", "x-bytes", "x-quotes"], [*LINES]]
)
def test_a_header_is_its_first_line_however_it_came(
    start_gateway: StartGateway, moto: Moto, way: str, names: list[str]
) -> None:
    """A question to Envoy shows all lines of a header as one, and a message has the first."""
    topic_arn = moto.create_topic()
    queue = moto.subscribe_queue(topic_arn)
    message = {name: f"${{request.headers.{name}}}" for name in names}
    message |= {"content-type": "${response.headers.content-type}", "absent": "${response.headers.x-none}"}
    envoy = start_gateway(way, moto.address, moto.create_publisher(), topic_arn=topic_arn, message=message)
    lines = [f"{name}: {value}" for name, values in LINES.items() for value in values]
    request = "\r\n".join(["PUT /mockbin/profile HTTP/1.1", *lines, "connection: close", "content-length: 0", "", ""])
    assert send_raw(envoy.address_of(), request.encode("latin-1")) == 200

    (received,) = moto.receive(queue, 1)
    event = json.loads(received["Body"])
    assert event.pop("content-type") is not None
    firsts = {name: values[0].replace("\xff", "\ufffd") if values else None for name, values in LINES.items()}
    assert event == {name: firsts[name] for name in names} | {"absent": None}
