"""moto's server, taught a few things that AWS does and moto 5.2 does not, so that permissions, templates and crowds are tried in
earnest.

- A policy may name a topic or a table, as moto has it for queues.
- A call for a batch takes the permission for one.
- CloudFormation makes subscriptions and the policies of queues.
- A message that comes while another one is deleted is not lost.
- A receive that waits for a group of a FIFO queue takes no CPU.

And a call takes half of the time: moto reads its slow clock for each message of a queue, and lists its own folder for each call,
one call after the other.

Run by `Moto`, with the arguments of moto's own server.
"""

import json
import time
from typing import Any

from moto import backends, server
from moto.core.common_models import CloudFormationModel
from moto.dynamodb.responses import DynamoHandler
from moto.iam import access_control
from moto.sns.models import sns_backends
from moto.sns.responses import SNSResponse
from moto.sqs import models as sqs
from moto.sqs.models import Queue, sqs_backends

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


_delete_message = Queue.delete_message


def _delete_alone(queue: Queue, receipt_handle: str) -> None:
    # moto copies the list of messages, and lets threads add to the old one meanwhile.
    with queue._messages_lock:
        _delete_message(queue, receipt_handle)


_wait_for_messages = Queue.wait_for_messages


def _wait_without_spinning(queue: Queue, timeout: int) -> None:
    # It is over at once where there is a message, also one that is not to be had because of its group.
    time.sleep(0.02)
    _wait_for_messages(queue, timeout)


def main() -> None:
    access_control.IAMRequest = _Request  # type: ignore[misc]
    SNSResponse._determine_resource = _topic  # type: ignore[attr-defined]
    DynamoHandler._determine_resource = _table  # type: ignore[attr-defined]
    Queue.delete_message = _delete_alone  # type: ignore[method-assign]
    Queue.wait_for_messages = _wait_without_spinning  # type: ignore[method-assign]
    sqs.unix_time, sqs.unix_time_millis = time.time, lambda: time.time() * 1000  # type: ignore[assignment]
    modules = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules  # type: ignore[assignment]
    server.main()
