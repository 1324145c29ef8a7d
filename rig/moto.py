"""SNS, SQS, EventBridge and IAM: a moto server that checks signatures and permissions, and what tests make in it."""

import json
import re
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from . import LOOPBACK, PROJECT
from .http import Address
from .process import ServerProcess
from .waiting import PATIENCE, wait_for

REGION = "us-east-1"

# The calls that make the first user, whom nobody could have authorised; every later call must be signed and allowed.
_UNAUTHENTICATED_CALLS = 3


@dataclass(frozen=True)
class Credentials:
    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    user_arn: str | None = None

    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.access_key_id, "AWS_SECRET_ACCESS_KEY": self.secret_access_key}

    def settings(self) -> dict[str, str]:
        """As `credentials` of Retrohook's configuration."""
        keys = {"access_key_id": self.access_key_id, "secret_access_key": self.secret_access_key}
        return {"source": "static", **keys}


@dataclass(frozen=True)
class Queue:
    url: str
    arn: str


class Moto(ServerProcess):
    """Ready when constructed, with an administrator."""

    def __init__(self, log_path: Path, port: int = 0):
        super().__init__(
            [sys.executable, "-c", "from rig.moto_server import main; main()", "-H", LOOPBACK, "-p", str(port)],
            log_path,
            {"INITIAL_NO_AUTH_ACTION_COUNT": str(_UNAUTHENTICATED_CALLS), "PYTHONPATH": str(PROJECT)},
        )
        try:
            self.address: Address = (LOOPBACK, int(self.wait_for_log(r"Running on http://[\d.]+:(\d+)")[1]))
            self.url = f"http://{self.address[0]}:{self.address[1]}"
            self._clients: dict[tuple[str, Credentials], Any] = {}
            self.administrator = Credentials("bootstrap", "bootstrap")
            self.administrator = self.create_user(["*"])
        except BaseException:
            self.stop()
            raise

    def client(self, service: str, credentials: Credentials | None = None) -> Any:
        """Made once, because that takes some 50 ms; a client is for any number of threads."""
        key = (service, credentials or self.administrator)
        if key not in self._clients:
            self._clients[key] = self._new_client(*key)
        return self._clients[key]

    def _new_client(self, service: str, credentials: Credentials) -> Any:
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.session_token,
        )

    def create_user(self, actions: Sequence[str] = (), policy_arns: Sequence[str] = ()) -> Credentials:
        """A user who may do `actions` with anything, and what the policies allow."""
        iam = self.client("iam")
        name = f"user-{uuid.uuid4()}"
        arn = iam.create_user(UserName=name)["User"]["Arn"]
        key = iam.create_access_key(UserName=name)["AccessKey"]
        user = Credentials(key["AccessKeyId"], key["SecretAccessKey"], user_arn=arn)
        if actions:
            self.allow(user, actions)
        for policy_arn in policy_arns:
            iam.attach_user_policy(UserName=name, PolicyArn=policy_arn)
        return user

    def allow(self, user: Credentials, actions: Sequence[str]) -> None:
        """Lets a user do `actions` with anything, and nothing that was allowed in this way before."""
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        self.client("iam").put_user_policy(
            UserName=str(user.user_arn).rpartition("/")[2],
            PolicyName="only",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )

    def create_stack(self, template: Path, **parameters: str) -> dict[str, str]:
        """The outputs of a new stack; addresses of queues are moto's."""
        cloudformation = self.client("cloudformation")
        name = f"{template.stem}-{uuid.uuid4().hex[:8]}"
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=template.read_text(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        return {
            output["OutputKey"]: re.sub(r"^https://sqs\.[^/]+", self.url, output["OutputValue"])
            for output in stack["Outputs"]
        }

    def create_publisher(self) -> Credentials:
        """A user who may do what Retrohook needs and nothing else."""
        return self.create_user(["sns:Publish"])

    def create_topic(self, fifo: bool = False) -> str:
        suffix = ".fifo" if fifo else ""
        attributes = {"FifoTopic": "true"} if fifo else {}
        return self.client("sns").create_topic(Name=f"topic-{uuid.uuid4()}{suffix}", Attributes=attributes)["TopicArn"]

    def create_queue(self, fifo: bool = False, **attributes: str) -> Queue:
        sqs = self.client("sqs")
        name = f"queue-{uuid.uuid4()}"
        if fifo:
            name += ".fifo"
            attributes["FifoQueue"] = "true"
        url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return Queue(url, found["Attributes"]["QueueArn"])

    def messages_left(self, queue: Queue) -> int:
        """Those that somebody works on included."""
        # A message that becomes visible between the two counts is in neither, once.
        return self._count_messages(queue) or self._count_messages(queue)

    def _count_messages(self, queue: Queue) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client("sqs").get_queue_attributes(QueueUrl=queue.url, AttributeNames=names)["Attributes"]
        return sum(map(int, found.values()))

    def subscribe(self, topic_arn: str, protocol: str, endpoint: str, **attributes: str) -> None:
        self.client("sns").subscribe(TopicArn=topic_arn, Protocol=protocol, Endpoint=endpoint, Attributes=attributes)

    def subscribe_queue(self, topic_arn: str, fifo: bool = False, **attributes: str) -> Queue:
        """A queue that gets the topic's events as they were published, unless `attributes` says otherwise."""
        queue = self.create_queue(fifo)
        self.subscribe(topic_arn, "sqs", queue.arn, **{"RawMessageDelivery": "true", **attributes})
        return queue

    def create_bus(self) -> str:
        """An event bus, by its name."""
        name = f"bus-{uuid.uuid4()}"
        self.client("events").create_event_bus(Name=name)
        return name

    def follow(self, bus: str, pattern: dict[str, Any]) -> Queue:
        """A queue that gets the events of `bus` that match."""
        queue, events, name = self.create_queue(), self.client("events"), f"rule-{uuid.uuid4()}"
        events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "queue", "Arn": queue.arn}])
        return queue

    def receive(self, queue: Queue, count: int, timeout: float = PATIENCE) -> list[dict[str, Any]]:
        """Takes messages out of `queue` until there are `count` or more."""
        sqs = self.client("sqs")
        messages: list[dict[str, Any]] = []

        def enough() -> bool:
            reply = sqs.receive_message(
                QueueUrl=queue.url,
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            )
            for message in reply.get("Messages", []):
                sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=message["ReceiptHandle"])
                messages.append(message)
            return len(messages) >= count

        wait_for(enough, f"{count} messages in {queue.arn}", timeout)
        return messages
