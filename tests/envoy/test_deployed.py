"""The filter in real Envoy with what deploy/publish.yaml makes: configured from its outputs, and with its permissions alone."""

import json

import pytest
from rig import PROJECT
from rig.envoy_config import EnvoyConfig
from rig.gateway import MISSION_PUT, StartGateway
from rig.http import send
from rig.moto import Moto, Queue
from rig.waiting import wait_for

TEMPLATE = PROJECT / "deploy" / "publish.yaml"
# Nothing here depends on the way into Envoy.
WAY = "http-filter"
STS = "sts.us-east-1.amazonaws.com:443"


@pytest.mark.parametrize("fifo", ["false", "true"], ids=["standard", "fifo"])
def test_an_event_is_published_with_the_publisher_s_policy_alone(
    start_gateway: StartGateway, moto: Moto, fifo: str
) -> None:
    stack = moto.create_stack(TEMPLATE, Fifo=fifo)
    publisher = moto.create_user(policy_arns=[stack["PublisherPolicyArn"]])
    route = {"method": "PUT", "matcher": "/profile"} | ({"message_group_id": "g"} if fifo == "true" else {})
    envoy = start_gateway(WAY, moto.address, publisher, topic_arn=stack["TopicArn"], routes=[route])
    assert send(envoy.address_of(), *MISSION_PUT).status == 200
    (message,) = moto.receive(Queue(stack["QueueUrl"], ""), 1)
    assert json.loads(message["Body"])["request"]["uri"] == "/mockbin/profile"


def test_an_event_is_published_in_the_role_that_the_stack_makes(start_gateway: StartGateway, moto: Moto) -> None:
    gateway = moto.create_user(["sts:AssumeRole"])
    assert gateway.user_arn
    stack = moto.create_stack(TEMPLATE, GatewayArn=gateway.user_arn)

    def add_sts(config: EnvoyConfig) -> None:
        config.add_cluster(STS, moto.address)

    settings = {
        "topic_arn": stack["TopicArn"],
        "credentials": {"source": "environment", "assume_role": {"role_arn": stack["GatewayRoleArn"]}},
    }
    envoy = start_gateway(WAY, moto.address, gateway, adjust=add_sts, **settings)
    assert send(envoy.address_of(), *MISSION_PUT).status == 200
    (message,) = moto.receive(Queue(stack["QueueUrl"], ""), 1)
    assert json.loads(message["Body"])["event_type"] == "profile.updated"


def test_another_topic_is_refused(start_gateway: StartGateway, moto: Moto) -> None:
    stack = moto.create_stack(TEMPLATE)
    publisher = moto.create_user(policy_arns=[stack["PublisherPolicyArn"]])
    envoy = start_gateway(WAY, moto.address, publisher, topic_arn=moto.create_topic())
    assert send(envoy.address_of(), *MISSION_PUT).status == 200
    wait_for(lambda: "AccessDenied" in envoy.log(), "the refusal to be logged")
    assert envoy.metric("retrohook_events_published_total") == 0
