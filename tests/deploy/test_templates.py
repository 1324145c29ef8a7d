"""The templates of deploy/: they are in order, they make what they say, and nobody may do more than they should."""

import itertools
import json
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from rig import PROJECT
from rig.moto import Credentials, Moto, Queue

TEMPLATES = sorted((PROJECT / "deploy").glob("*.yaml"))
PUBLISH, CAPTURE = PROJECT / "deploy" / "publish.yaml", PROJECT / "deploy" / "capture.yaml"

IS_FIFO = pytest.mark.parametrize("fifo", ["false", "true"], ids=["standard", "fifo"])


@pytest.fixture(scope="module")
def publish(moto: Moto) -> dict[str, str]:
    return moto.create_stack(PUBLISH)


@pytest.fixture(scope="module")
def capture(moto: Moto) -> dict[str, str]:
    return moto.create_stack(CAPTURE, InboxTable="true")


def attributes(moto: Moto, url: str) -> dict[str, Any]:
    found = moto.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return {name: json.loads(value) if name.endswith("Policy") else value for name, value in found.items()}


def test_cfn_lint_has_no_complaint() -> None:
    linter = Path(sys.executable).parent / "cfn-lint"
    done = subprocess.run([linter, "--include-checks", "I", "--", *TEMPLATES], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@IS_FIFO
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_what_fails_three_times_goes_to_a_queue_that_keeps_it_for_long(moto: Moto, template: Path, fifo: str) -> None:
    stack = moto.create_stack(template, Fifo=fifo)
    queue, dead = attributes(moto, stack["QueueUrl"]), attributes(moto, stack["DeadLetterQueueUrl"])
    assert queue["VisibilityTimeout"] == "90"
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": dead["QueueArn"], "maxReceiveCount": 3}
    assert int(dead["MessageRetentionPeriod"]) == 14 * 24 * 3600 > int(queue["MessageRetentionPeriod"])
    assert queue["SqsManagedSseEnabled"] == dead["SqsManagedSseEnabled"] == "true"
    assert [each.get("FifoQueue", "false") for each in (queue, dead)] == [fifo, fifo]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_a_dead_letter_queue_takes_from_its_queue_alone(moto: Moto, template: Path) -> None:
    # moto does not show this setting; the name in it must be that of the queue.
    text = template.read_text()
    (allowed,) = re.findall(r'- "arn:\$\{AWS::Partition\}:sqs:\$\{AWS::Region\}:\$\{AWS::AccountId\}:(.+)"', text)
    (queue, *_) = re.findall(r'QueueName: !Sub \[ "(.+?)"', text)
    assert allowed == queue
    assert "redrivePermission: byQueue" in text


@IS_FIFO
def test_what_is_published_is_in_the_queue(moto: Moto, fifo: str) -> None:
    stack = moto.create_stack(PUBLISH, Fifo=fifo)
    publisher = moto.client("sns", moto.create_user(policy_arns=[stack["PublisherPolicyArn"]]))
    group = {"MessageGroupId": "g", "MessageDeduplicationId": "d"} if fifo == "true" else {}
    publisher.publish(TopicArn=stack["TopicArn"], Message="one", **group)
    (message,) = moto.receive(Queue(stack["QueueUrl"], ""), 1)
    assert message["Body"] == "one", "without SNS's envelope"


def test_a_queue_takes_messages_of_its_topic_alone(moto: Moto) -> None:
    stack = moto.create_stack(PUBLISH, CallbackUrl="http://127.0.0.1:9/events")
    for url in (stack["QueueUrl"], stack["UndeliveredQueueUrl"]):
        queue = attributes(moto, url)
        assert queue["Policy"]["Statement"] == [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue["QueueArn"],
                "Condition": {"ArnEquals": {"aws:SourceArn": stack["TopicArn"]}},
            }
        ]


@pytest.mark.parametrize("protocol", ["http", "https"])
def test_a_callback_is_subscribed_and_what_it_does_not_take_is_kept(moto: Moto, protocol: str) -> None:
    url = f"{protocol}://127.0.0.1:9/events"
    stack = moto.create_stack(PUBLISH, CallbackUrl=url)
    sns = moto.client("sns")
    subscriptions = sns.list_subscriptions_by_topic(TopicArn=stack["TopicArn"])["Subscriptions"]
    (callback,) = (each for each in subscriptions if each["Protocol"] == protocol)
    assert callback["Endpoint"] == url
    found = sns.get_subscription_attributes(SubscriptionArn=callback["SubscriptionArn"])["Attributes"]
    undelivered = attributes(moto, stack["UndeliveredQueueUrl"])["QueueArn"]
    assert json.loads(found["RedrivePolicy"]) == {"deadLetterTargetArn": undelivered}
    assert found["RawMessageDelivery"] == "false", "a raw message carries no signature"


# What somebody could try: by the permission that it takes and the thing that it is tried with, the service and the call.
Calls = dict[tuple[str, str], tuple[str, str, dict[str, Any]]]


def calls(moto: Moto, stack: dict[str, str]) -> Calls:
    found: Calls = {("iam:ListUsers", "the account"): ("iam", "list_users", {})}
    topics = {"topic": stack["TopicArn"]} if "TopicArn" in stack else {}
    for name, arn in {**topics, "another topic": moto.create_topic()}.items():
        for action, method, arguments in (
            ("sns:Publish", "publish", {"Message": "m"}),
            ("sns:Publish (batch)", "publish_batch", {"PublishBatchRequestEntries": [{"Id": "1", "Message": "m"}]}),
            ("sns:Subscribe", "subscribe", {"Protocol": "http", "Endpoint": "http://127.0.0.1:9/"}),
            ("sns:DeleteTopic", "delete_topic", {}),
        ):
            found[action, name] = ("sns", method, {"TopicArn": arn, **arguments})
    queues = {"queue": stack["QueueUrl"], "dead": stack["DeadLetterQueueUrl"], "another queue": moto.create_queue().url}
    for name, url in queues.items():
        for action, method, arguments in (
            ("sqs:SendMessage", "send_message", {"MessageBody": "m"}),
            ("sqs:SendMessage (batch)", "send_message_batch", {"Entries": [{"Id": "1", "MessageBody": "m"}]}),
            ("sqs:ReceiveMessage", "receive_message", {"VisibilityTimeout": 0}),
            ("sqs:DeleteMessage", "delete_message", {"ReceiptHandle": "?"}),
            ("sqs:ChangeMessageVisibility", "change_message_visibility", {"ReceiptHandle": "?", "VisibilityTimeout": 0}),
            ("sqs:GetQueueAttributes", "get_queue_attributes", {"AttributeNames": ["All"]}),
            ("sqs:SetQueueAttributes", "set_queue_attributes", {"Attributes": {"VisibilityTimeout": "90"}}),
            ("sqs:PurgeQueue", "purge_queue", {}),
            ("sqs:DeleteQueue", "delete_queue", {}),
        ):
            found[action, name] = ("sqs", method, {"QueueUrl": url, **arguments})
    if "InboxTableName" in stack:
        key = {"id": {"S": str(uuid.uuid4())}}
        for action, method, arguments in (
            ("dynamodb:PutItem", "put_item", {"Item": key}),
            ("dynamodb:UpdateItem", "update_item", {"Key": key}),
            ("dynamodb:DeleteItem", "delete_item", {"Key": key}),
            ("dynamodb:GetItem", "get_item", {"Key": key}),
            ("dynamodb:Scan", "scan", {}),
            ("dynamodb:DeleteTable", "delete_table", {}),
        ):
            found[action, "inbox"] = ("dynamodb", method, {"TableName": stack["InboxTableName"], **arguments})
    return found


def allowed_of(moto: Moto, stack: dict[str, str], who: Credentials) -> set[tuple[str, str]]:
    """What moto lets them do."""
    clients = {service: moto.client(service, who) for service in ("sns", "sqs", "dynamodb", "iam")}

    def is_allowed(service: str, method: str, arguments: dict[str, Any]) -> bool:
        try:
            getattr(clients[service], method)(**arguments)
        except ClientError as fault:
            # Any other fault is of somebody who was let in.
            return "is not authorized to perform" not in fault.response["Error"]["Message"]
        return True

    return {name for name, call in calls(moto, stack).items() if is_allowed(*call)}


def test_an_administrator_may_do_all_of_it(moto: Moto) -> None:
    # So that what is denied below is denied for want of a permission.
    for template in (PUBLISH, CAPTURE):
        stack = moto.create_stack(template)
        tried = calls(moto, stack)
        assert allowed_of(moto, stack, moto.administrator) == set(tried)


READER = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"}
SENDER = {"sqs:SendMessage", "sqs:SendMessage (batch)"}
REDRIVER = {(action, "dead") for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage")} | {(a, "queue") for a in SENDER}


@pytest.mark.parametrize(
    ("template", "policy", "allowed"),
    [
        ("publish", "PublisherPolicyArn", {("sns:Publish", "topic"), ("sns:Publish (batch)", "topic")}),
        ("publish", "ReaderPolicyArn", set(itertools.product(READER, ["queue"]))),
        ("publish", "RedriverPolicyArn", REDRIVER),
        ("capture", "SenderPolicyArn", set(itertools.product(SENDER, ["queue"]))),
        ("capture", "ReaderPolicyArn", set(itertools.product(READER, ["queue"]))),
        ("capture", "RedriverPolicyArn", REDRIVER),
        (
            "capture",
            "InboxPolicyArn",
            {(f"dynamodb:{action}", "inbox") for action in ("PutItem", "UpdateItem", "DeleteItem")},
        ),
    ],
)
def test_a_policy_allows_what_it_is_for_and_nothing_else(
    moto: Moto, request: pytest.FixtureRequest, template: str, policy: str, allowed: set[tuple[str, str]]
) -> None:
    stack: dict[str, str] = request.getfixturevalue(template)
    assert allowed_of(moto, stack, moto.create_user(policy_arns=[stack[policy]])) == allowed


def assume(moto: Moto, role_arn: str, user: Credentials) -> Credentials:
    reply = moto.client("sts", user).assume_role(RoleArn=role_arn, RoleSessionName="retrohook")["Credentials"]
    return Credentials(reply["AccessKeyId"], reply["SecretAccessKey"], reply["SessionToken"])


def test_the_role_of_capture_is_taken_by_whom_it_names_and_can_only_send(moto: Moto) -> None:
    gateway, stranger = (moto.create_user(["sts:AssumeRole"]) for _ in range(2))
    stack = moto.create_stack(CAPTURE, GatewayArn=gateway.user_arn)
    with pytest.raises(ClientError, match="not authorized to perform: sts:AssumeRole"):
        assume(moto, stack["GatewayRoleArn"], stranger)
    session = assume(moto, stack["GatewayRoleArn"], gateway)
    assert allowed_of(moto, stack, session) == set(itertools.product(SENDER, ["queue"]))


@pytest.mark.parametrize("service", ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com"])
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_the_role_is_for_the_service_that_runs_the_gateway(moto: Moto, template: Path, service: str) -> None:
    stack = moto.create_stack(template, GatewayService=service)
    role = moto.client("iam").get_role(RoleName=stack["GatewayRoleArn"].rpartition("/")[2])["Role"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement == {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    assert ("GatewayProfileName" in stack) == (service == "ec2.amazonaws.com")


def test_one_role_that_is_there_already_gets_both_policies(moto: Moto) -> None:
    iam, name = moto.client("iam"), f"gateway-{uuid.uuid4()}"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    stacks = [moto.create_stack(template, GatewayRole=name) for template in (PUBLISH, CAPTURE)]
    assert all("GatewayRoleArn" not in stack for stack in stacks)
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    expected = {stacks[0]["PublisherPolicyArn"], stacks[1]["SenderPolicyArn"]}
    assert {each["PolicyArn"] for each in attached} == expected
