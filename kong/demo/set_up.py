"""Makes what the demo needs in the stand-in of AWS: a topic, a queue, and the two subscriptions.

    python set_up.py CALLBACK_URL

Harmless to repeat. Where AWS is, and as whom, comes from the environment that boto3 reads.
"""

import sys

import boto3

NAME = "profile-events"


def set_up(callback_url: str) -> str:
    """Gives the ARN of the topic."""
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topic = sns.create_topic(Name=NAME)["TopicArn"]
    queue = sqs.create_queue(QueueName=NAME)["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn, Attributes={"RawMessageDelivery": "true"})
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=callback_url)
    print(f"{topic} goes to {queue} and to {callback_url}", flush=True)
    return topic


if __name__ == "__main__":
    set_up(sys.argv[1])
