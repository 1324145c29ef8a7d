"""moto's server, taught three things that AWS does and moto 5.2 does not, so that permissions and templates are tried in earnest.

- A policy may name a topic or a table, as moto has it for queues.
- A call for a batch takes the permission for one.
- CloudFormation makes subscriptions and the policies of queues.

Run by `Moto`, with the arguments of moto's own server.
"""

import json
from typing import Any

from moto import server
from moto.core.common_models import CloudFormationModel
from moto.dynamodb.responses import DynamoHandler
from moto.iam import access_control
from moto.sns.models import sns_backends
from moto.sns.responses import SNSResponse
from moto.sqs.models import sqs_backends

_PERMISSIONS = {
    "sns:PublishBatch": "sns:Publish",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}


class _Request(access_control.IAMRequest):
    def __init__(self, *arguments: Any, **more: Any):
        super().__init__(*arguments, **more)
        self._action = _PERMISSIONS.get(self._action, self._action)


def _topic(response: SNSResponse) -> str:
    return response._get_param("TopicArn") or "*"


def _table(response: DynamoHandler) -> str:
    name = response.body.get("TableName")
    return f"arn:{response.partition}:dynamodb:{response.region}:{response.current_account}:table/{name}" if name else "*"


class _Identified:
    """What a template makes and gives no name. No model itself, for moto knows only the direct children of its own class."""

    def __init__(self, physical_resource_id: str):
        self.physical_resource_id = physical_resource_id

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""


class Subscription(_Identified, CloudFormationModel):
    """A subscription that a template makes, with its settings."""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SNS::Subscription"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> "Subscription":
        backend = sns_backends[account_id][region_name]
        properties = dict(cloudformation_json["Properties"])
        arn = backend.subscribe(properties.pop("TopicArn"), properties.pop("Endpoint"), properties.pop("Protocol")).arn
        for name, value in properties.items():
            backend.set_subscription_attributes(arn, name, json.dumps(value) if isinstance(value, dict) else value)
        return cls(arn)


class QueuePolicy(_Identified, CloudFormationModel):
    """The policy of a queue. moto keeps it and does not ask it."""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SQS::QueuePolicy"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> "QueuePolicy":
        properties = cloudformation_json["Properties"]
        for url in properties["Queues"]:
            queue = sqs_backends[account_id][region_name].get_queue(url.rpartition("/")[2])
            queue.policy = json.dumps(properties["PolicyDocument"])
        return cls(resource_name)


def main() -> None:
    access_control.IAMRequest = _Request  # type: ignore[misc]
    SNSResponse._determine_resource = _topic  # type: ignore[attr-defined]
    DynamoHandler._determine_resource = _table  # type: ignore[attr-defined]
    server.main()
