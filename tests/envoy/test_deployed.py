"""The filter in real Envoy with what deploy/publish.yaml makes: configured as its README says, and with its permissions alone."""

import json
import re
from typing import Any

from rig import PROJECT
from rig.envoy_config import EnvoyConfig
from rig.gateway import MISSION_PUT, StartGateway
from rig.http import send
from rig.moto import Moto, Queue

TEMPLATE = PROJECT / "deploy" / "publish.yaml"
STS = "sts.us-east-1.amazonaws.com:443"

# Nothing here depends on the way into Envoy.
WAY = "http-filter"


def settings_in_readme(stack: dict[str, str]) -> list[dict[str, Any]]:
    """Its configurations, with the names that this stack has."""
    text = (TEMPLATE.parent / "README.md").read_text()
    text = re.sub(r"arn:aws:sns:[\w:-]+", stack["TopicArn"], text)
    text = re.sub(r"arn:aws:iam:[\w:/-]+", stack["GatewayRoleArn"], text)
    return [json.loads(block) for block in re.findall(r"```json\n(.+?)```", text, re.DOTALL)]


def assert_published(moto: Moto, stack: dict[str, str]) -> None:
    (message,) = moto.receive(Queue(stack["QueueUrl"], ""), 1)
    assert json.loads(message["Body"])["request"]["uri"] == "/mockbin/profile"


def test_with_the_publisher_s_policy_alone(start_gateway: StartGateway, moto: Moto) -> None:
    stack = moto.create_stack(TEMPLATE)
    publisher = moto.create_user(policy_arns=[stack["PublisherPolicyArn"]])
    envoy = start_gateway(WAY, moto.address, publisher, **settings_in_readme(stack)[0])
    assert send(envoy.address_of(), *MISSION_PUT).status == 200
    assert_published(moto, stack)


def test_in_the_role_that_the_stack_makes(start_gateway: StartGateway, moto: Moto) -> None:
    gateway = moto.create_user(["sts:AssumeRole"])
    assert gateway.user_arn
    stack = moto.create_stack(TEMPLATE, GatewayArn=gateway.user_arn)

    def add_sts(config: EnvoyConfig) -> None:
        config.add_cluster(STS, moto.address)

    envoy = start_gateway(WAY, moto.address, gateway, adjust=add_sts, **settings_in_readme(stack)[1])
    assert send(envoy.address_of(), *MISSION_PUT).status == 200
    assert_published(moto, stack)


def test_with_a_fifo_topic(start_gateway: StartGateway, moto: Moto) -> None:
    stack = moto.create_stack(TEMPLATE, Fifo="true")
    publisher = moto.create_user(policy_arns=[stack["PublisherPolicyArn"]])
    route = {"method": "PUT", "matcher": "/profile", "message_group_id": "${request.path}"}
    envoy = start_gateway(WAY, moto.address, publisher, topic_arn=stack["TopicArn"], routes=[route])
    assert send(envoy.address_of(), *MISSION_PUT).status == 200
    assert_published(moto, stack)
