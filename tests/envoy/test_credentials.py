"""Keys and signatures: where the keys come from, and that a signature is right as others compute it."""

import json
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from rig.gateway import ANY_CREDENTIALS, MISSION_PUT, StartGateway
from rig.http import send, send_raw
from rig.moto import Credentials, Moto
from rig.sns_request import SnsRequest
from rig.sns_sink import SnsSink
from rig.waiting import wait_for

pytestmark = pytest.mark.own_process

NO_CREDENTIALS = Credentials("", "")

# Every character that a header may have, and some beyond ASCII; and in the query the first 256, percent-encoded.
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
ODD_HEADER = f"{PRINTABLE} \u00e4 \u20ac \U0001f600"
ODD_QUERY = "".join(map(chr, range(0x100)))
ODD_REQUEST = (
    f"PUT /mockbin/profile?q=%20+*~&x='(%C3%A9)'&every={quote(ODD_QUERY)} HTTP/1.1\r\n"
    f"host: gateway\r\ncontent-length: 0\r\nx-odd: {ODD_HEADER}\r\n\r\n"
).encode()


def test_keys_from_the_configuration(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    topic_arn = moto.create_topic()
    queue = moto.subscribe_queue(topic_arn)
    keys = moto.create_publisher().settings()
    envoy = start_gateway(way, moto.address, NO_CREDENTIALS, topic_arn=topic_arn, credentials=keys)
    send(envoy.address_of(), *MISSION_PUT)
    assert len(moto.receive(queue, 1)) == 1


def test_a_wrong_secret_is_refused_and_that_is_seen(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    topic_arn = moto.create_topic()
    queue = moto.subscribe_queue(topic_arn)
    wrong = Credentials(moto.create_publisher().access_key_id, "not-the-secret-of-this-key")
    envoy = start_gateway(way, moto.address, wrong, topic_arn=topic_arn)
    assert send(envoy.address_of(), *MISSION_PUT).status == 200, "the client is not to suffer"

    wait_for(lambda: envoy.metric("retrohook_callouts_error_total") >= 1, "the refusal to be counted")
    wait_for(lambda: "SignatureDoesNotMatch" in envoy.log(), "the refusal to be logged")
    assert envoy.metric("retrohook_events_published_total") == 0
    assert wrong.secret_access_key not in envoy.log()
    assert not moto.client("sqs").receive_message(QueueUrl=queue.url).get("Messages")


def test_missing_keys_refuse_the_start_with_the_mend(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    with pytest.raises(AssertionError, match=r"AWS_ACCESS_KEY_ID.*host_env_keys"):
        start_gateway(way, sink.address, NO_CREDENTIALS)


def botocores_authorization(request: SnsRequest, credentials: BotocoreCredentials) -> str:
    signed = request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    headers = {name: request.headers[name] for name in signed}
    url = f"https://{request.headers['host']}{request.target}"
    aws_request = AWSRequest(method=request.method, url=url, data=request.body, headers=headers)
    aws_request.context["timestamp"] = request.headers["x-amz-date"]
    auth = SigV4Auth(credentials, "sns", "us-east-1")
    signature = auth.signature(auth.string_to_sign(aws_request, auth.canonical_request(aws_request)), aws_request)
    return (
        f"AWS4-HMAC-SHA256 Credential={auth.scope(aws_request)}, SignedHeaders={';'.join(signed)}, "
        f"Signature={signature}"
    )


def test_an_event_with_every_character_is_taken(start_gateway: StartGateway, moto: Moto, way: str) -> None:
    """moto checks the signature of the form as botocore writes it."""
    topic_arn = moto.create_topic()
    queue = moto.subscribe_queue(topic_arn)
    attributes = {"odd": "${request.headers.x-odd}"}
    envoy = start_gateway(way, moto.address, moto.create_publisher(), topic_arn=topic_arn, attributes=attributes)
    assert send_raw(envoy.address_of(), ODD_REQUEST) == 200
    (message,) = moto.receive(queue, 1)
    request = json.loads(message["Body"])["request"]
    assert (request["headers"]["x-odd"], request["querystring"]["every"]) == (ODD_HEADER, ODD_QUERY)
    # As SNS wants it for filter policies (docs/events.md).
    assert json.loads(f'"{message["MessageAttributes"]["odd"]["StringValue"]}"') == ODD_HEADER


@pytest.mark.parametrize("token", [None, "a/session+token=="])
def test_botocore_computes_the_same_signature(
    start_gateway: StartGateway, sink: SnsSink, way: str, token: str | None
) -> None:
    keys = ANY_CREDENTIALS.settings() | ({"session_token": token} if token else {})
    envoy = start_gateway(way, sink.address, NO_CREDENTIALS, credentials=keys)
    assert send_raw(envoy.address_of(), ODD_REQUEST) == 200
    sink.wait_for_events(1)

    (request,) = sink.requests
    assert request.headers["host"] == "sns.us-east-1.amazonaws.com"
    assert request.headers.get("x-amz-security-token") == token
    expected = botocores_authorization(
        request, BotocoreCredentials(ANY_CREDENTIALS.access_key_id, ANY_CREDENTIALS.secret_access_key, token)
    )
    assert request.headers["authorization"].replace(",", ", ").replace(",  ", ", ") == expected
    form = AWSRequest("POST", "https://sns.us-east-1.amazonaws.com/", data=request.parameters).prepare().body
    assert request.body.decode() == form, "botocore writes the form so"


def test_the_secret_is_never_logged(start_gateway: StartGateway, sink: SnsSink, way: str) -> None:
    envoy = start_gateway(way, sink.address, NO_CREDENTIALS, credentials=ANY_CREDENTIALS.settings())
    envoy.admin_get("/logging?wasm=trace")
    send(envoy.address_of(), *MISSION_PUT)
    sink.wait_for_events(1)
    assert ANY_CREDENTIALS.secret_access_key not in envoy.log()
    assert json.dumps(ANY_CREDENTIALS.secret_access_key) not in envoy.log()
