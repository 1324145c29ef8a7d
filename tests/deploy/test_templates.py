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
import yaml
from botocore.exceptions import ClientError
from moto.iam.access_control import IAMPolicy, PermissionResult
from rig import PROJECT
from rig.moto import Credentials, Moto, Queue

TEMPLATES = sorted((PROJECT / "deploy").glob("*.yaml"))
PUBLISH, CAPTURE = PROJECT / "deploy" / "publish.yaml", PROJECT / "deploy" / "capture.yaml"

ACCOUNT = "123456789012"

IS_FIFO = pytest.mark.parametrize("fifo", ["false", "true"], ids=["standard", "fifo"])


@pytest.fixture(scope="module")
def publish(moto: Moto) -> dict[str, str]:
    return moto.create_stack(PUBLISH)


@pytest.fixture(scope="module")
def capture(moto: Moto) -> dict[str, str]:
    return moto.create_stack(CAPTURE, InboxTable="true")


class _Loader(yaml.SafeLoader):
    """Reads the short forms of CloudFormation's functions as `{name: argument}`."""


def _function(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _function)


def load(template: Path) -> Any:
    return yaml.load(template.read_text(), _Loader)


def document_of(moto: Moto, policy_arn: str) -> Any:
    iam = moto.client("iam")
    version = iam.get_policy(PolicyArn=policy_arn)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=policy_arn, VersionId=version)["PolicyVersion"]["Document"]


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
    assert [each["MaximumMessageSize"] for each in (queue, dead)] == ["1048576"] * 2, "all that SQS takes"


@IS_FIFO
def test_what_is_not_verified_has_a_queue_of_its_own(moto: Moto, fifo: str) -> None:
    stack = moto.create_stack(CAPTURE, Fifo=fifo)
    queue, dead, unverified = (
        attributes(moto, stack[name]) for name in ("QueueUrl", "DeadLetterQueueUrl", "UnverifiedQueueUrl")
    )
    assert unverified["RedrivePolicy"] == {"deadLetterTargetArn": dead["QueueArn"], "maxReceiveCount": 3}
    retention = [int(each["MessageRetentionPeriod"]) for each in (queue, unverified, dead)]
    assert retention == sorted(set(retention)), "the age of a message goes on where it is moved to"
    assert unverified["MaximumMessageSize"] == queue["MaximumMessageSize"], "whatever the other has fits in"
    for name in ("FifoQueue", "SqsManagedSseEnabled", "VisibilityTimeout"):
        assert unverified.get(name) == queue.get(name)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_a_dead_letter_queue_takes_from_its_queues_alone(template: Path) -> None:
    # moto does not show this setting; the names in it must be those of the queues that have one.
    resources = load(template)["Resources"]
    queues = {name: each["Properties"] for name, each in resources.items() if each["Type"] == "AWS::SQS::Queue"}
    allowed = queues["DeadLetterQueue"]["RedriveAllowPolicy"]
    assert allowed["redrivePermission"] == "byQueue"
    prefix = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:"
    expected = [each["QueueName"] for each in queues.values() if "RedrivePolicy" in each]
    assert [[text.removeprefix(prefix), more] for text, more in (arn["Sub"] for arn in allowed["sourceQueueArns"])] == [
        name["Sub"] for name in expected
    ]


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
                "Condition": {
                    "ArnEquals": {"aws:SourceArn": stack["TopicArn"]},
                    "StringEqualsIfExists": {"aws:SourceAccount": ACCOUNT},
                },
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


# What somebody could try: by the permission that it takes and the thing that it is tried with, the
# service and the call.
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
    if "UnverifiedQueueUrl" in stack:
        queues["unverified"] = stack["UnverifiedQueueUrl"]
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
REDRIVER = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}

Allowed = set[tuple[str, str]]


def each(actions: set[str], *things: str) -> Allowed:
    return set(itertools.product(actions, things))


@pytest.mark.parametrize(
    ("template", "policy", "allowed"),
    [
        ("publish", "PublisherPolicyArn", each({"sns:Publish", "sns:Publish (batch)"}, "topic")),
        ("publish", "ReaderPolicyArn", each(READER, "queue")),
        ("publish", "RedriverPolicyArn", each(REDRIVER, "dead") | each(SENDER, "queue")),
        ("capture", "SenderPolicyArn", each(SENDER, "queue")),
        ("capture", "ReaderPolicyArn", each(READER, "queue") | each(SENDER, "unverified")),
        ("capture", "UnverifiedReaderPolicyArn", each(READER, "unverified")),
        ("capture", "RedriverPolicyArn", each(REDRIVER, "dead") | each(SENDER, "queue", "unverified")),
        ("capture", "InboxPolicyArn", each({"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}, "inbox")),
    ],
)
def test_a_policy_allows_what_it_is_for_and_nothing_else(
    moto: Moto, request: pytest.FixtureRequest, template: str, policy: str, allowed: Allowed
) -> None:
    stack: dict[str, str] = request.getfixturevalue(template)
    assert allowed_of(moto, stack, moto.create_user(policy_arns=[stack[policy]])) == allowed


MOVE_TASK = {"sqs:StartMessageMoveTask", "sqs:ListMessageMoveTasks", "sqs:CancelMessageMoveTask"}


@pytest.mark.parametrize("template", ["publish", "capture"])
def test_who_redrives_may_let_sqs_do_it(moto: Moto, request: pytest.FixtureRequest, template: str) -> None:
    # moto has no such call. It can say what the policy would let it do, and botocore that there is
    # one.
    known = {f"sqs:{name}" for name in moto.client("sqs").meta.service_model.operation_names}
    assert MOVE_TASK <= known
    stack: dict[str, str] = request.getfixturevalue(template)
    policy = IAMPolicy(json.dumps(document_of(moto, stack["RedriverPolicyArn"])))
    # As SQS's documentation has it: these on the dead-letter queue, and the last one where messages
    # go.
    needed = {*MOVE_TASK, "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
    dead = attributes(moto, stack["DeadLetterQueueUrl"])["QueueArn"]
    queue = attributes(moto, stack["QueueUrl"])["QueueArn"]
    permitted = {
        (action, arn)
        for action in {*needed, "sqs:SendMessage", "sqs:PurgeQueue", "sqs:SetQueueAttributes"}
        for arn in (dead, queue, moto.create_queue().arn)
        if policy.is_action_permitted(action, arn) == PermissionResult.PERMITTED
    }
    assert permitted == each(needed, dead) | {("sqs:SendMessage", queue)}


def test_a_gateway_that_sets_aside_itself_may_send_there_as_well(moto: Moto) -> None:
    stack = moto.create_stack(CAPTURE, UnverifiedByGateway="true")
    user = moto.create_user(policy_arns=[stack["SenderPolicyArn"]])
    assert allowed_of(moto, stack, user) == each(SENDER, "queue", "unverified")


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
    condition = statement.pop("Condition")
    assert statement == {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    if service == "ec2.amazonaws.com":
        assert condition == {"StringEqualsIfExists": {"aws:SourceAccount": ACCOUNT}}
    else:
        assert condition == {
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
            "ArnLike": {"aws:SourceArn": f"arn:aws:ecs:*:{ACCOUNT}:*"},
        }
    assert ("GatewayProfileName" in stack) == (service == "ec2.amazonaws.com")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_a_role_of_a_user_or_another_role_is_held_to_no_service(moto: Moto, template: Path) -> None:
    gateway = moto.create_user(["sts:AssumeRole"])
    stack = moto.create_stack(template, GatewayArn=gateway.user_arn)
    role = moto.client("iam").get_role(RoleName=stack["GatewayRoleArn"].rpartition("/")[2])["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"] == [
        {"Effect": "Allow", "Principal": {"AWS": gateway.user_arn}, "Action": "sts:AssumeRole"}
    ]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_a_parameter_that_cannot_be_right_is_refused(template: Path) -> None:
    # CloudFormation holds a value to its pattern as a whole; moto does not.
    parameters = load(template)["Parameters"]
    right = {
        "GatewayRole": ["", "gateway", "Gateway_1+=,.@-x", "a" * 64],
        "GatewayArn": ["", "arn:aws:iam::123456789012:role/path/gateway", "arn:aws-cn:iam::123456789012:user/gateway"],
        "AlarmTopicArn": ["", "arn:aws:sns:us-east-1:123456789012:alarms"],
    }
    wrong = {
        "GatewayRole": ["arn:aws:iam::123456789012:role/gateway", "path/gateway", "a b", "a" * 65, "gateway\n", "*"],
        "GatewayArn": ["gateway", "*", "arn:aws:iam::123:role/gateway"],
        "AlarmTopicArn": ["alarms", "arn:aws:sns:us-east-1:123456789012:alarms.fifo", "arn:aws:sqs:us-east-1:123456789012:q"],
    }
    for name, values in right.items():
        assert all(re.fullmatch(parameters[name]["AllowedPattern"], value) for value in values), name
    for name, values in wrong.items():
        assert not any(re.fullmatch(parameters[name]["AllowedPattern"], value) for value in values), name
    assert all(each["ConstraintDescription"] for each in parameters.values() if "AllowedPattern" in each)


def alarms_of(moto: Moto, template: Path, topic_arn: str, **parameters: str) -> dict[str, dict[str, Any]]:
    """The alarms of a stack by the thing that they watch, as CloudWatch has them."""
    stack = moto.create_stack(template, **parameters)
    cloudwatch = moto.client("cloudwatch")
    urls = {name.removesuffix("Url"): url for name, url in stack.items() if name.endswith("QueueUrl")}
    names = {name: attributes(moto, url)["QueueArn"].rpartition(":")[2] for name, url in urls.items()}
    prefix = str(uuid.uuid4())
    for logical, resource in load(template)["Resources"].items():
        if resource["Type"] != "AWS::CloudWatch::Alarm":
            continue
        properties = dict(resource["Properties"])
        (dimension,) = properties["Dimensions"]
        queue, _, attribute = dimension["Value"]["GetAtt"].partition(".")
        assert attribute == "QueueName"
        if queue not in names:
            assert resource["Condition"] == "HasCallback"
            continue
        properties["Dimensions"] = [{"Name": dimension["Name"], "Value": names[queue]}]
        if isinstance(properties["Threshold"], dict):
            properties["Threshold"] = load(template)["Parameters"][properties["Threshold"]["Ref"]]["Default"]
        for actions in ("AlarmActions", "OKActions"):
            assert properties[actions] == {"If": ["Notifies", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
            properties[actions] = [topic_arn]
        # moto's CloudFormation makes no alarms; its CloudWatch does, from the same properties.
        cloudwatch.put_metric_alarm(AlarmName=f"{prefix}-{logical}", **properties)
    found = cloudwatch.describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
    by_name = {name: queue for queue, name in names.items()}
    return {f"{by_name[alarm['Dimensions'][0]['Value']]} {alarm['MetricName']}": alarm for alarm in found}


@IS_FIFO
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_there_is_an_alarm_for_dead_letters_and_for_a_queue_that_nobody_reads(
    moto: Moto, template: Path, fifo: str
) -> None:
    topic_arn = moto.create_topic()
    callback = {"CallbackUrl": "http://127.0.0.1:9/"} if (template, fifo) == (PUBLISH, "false") else {}
    alarms = alarms_of(moto, template, topic_arn, Fifo=fifo, **callback)
    expected = {
        "DeadLetterQueue ApproximateNumberOfMessagesVisible": ("Maximum", 0, 1),
        "Queue ApproximateAgeOfOldestMessage": ("Maximum", 900, 1),
    }
    if template == CAPTURE:
        expected["UnverifiedQueue NumberOfMessagesSent"] = ("Sum", 10, 3)
    if callback:
        expected["UndeliveredQueue ApproximateNumberOfMessagesVisible"] = ("Maximum", 0, 1)
    assert {name: (a["Statistic"], a["Threshold"], a["EvaluationPeriods"]) for name, a in alarms.items()} == expected
    for alarm in alarms.values():
        assert (alarm["Namespace"], alarm["Period"], alarm["TreatMissingData"]) == ("AWS/SQS", 300, "notBreaching")
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic_arn]


def test_one_role_that_is_there_already_gets_both_policies(moto: Moto) -> None:
    iam, name = moto.client("iam"), f"gateway-{uuid.uuid4()}"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    stacks = [moto.create_stack(template, GatewayRole=name) for template in (PUBLISH, CAPTURE)]
    assert all("GatewayRoleArn" not in stack for stack in stacks)
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    expected = {stacks[0]["PublisherPolicyArn"], stacks[1]["SenderPolicyArn"]}
    assert {each["PolicyArn"] for each in attached} == expected
