"""Sends the events again that a gateway has written to its log as dead letters.

    python replay_dead_letters.py --dry-run /var/log/envoy.log
    kubectl logs gateway-0 | python replay_dead_letters.py --reason queue_full --reason expired
    HOOK_SECRET=whsec_… python replay_dead_letters.py --config retrohook.json /var/log/envoy.log
    python replay_dead_letters.py --queue-url https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters

With `dead_letter.mark` in the gateway's configuration, give the same as --mark, or as RETROHOOK_DEAD_LETTER_MARK in the
environment: only letters with that mark are read. Without a mark, whoever can write into the log, as the client of a gateway
can whose access log goes there, can make letters up.

An event for a webhook is signed again, with what --config has beside its `webhook_url`: the gateway's own configuration, as JSON. Where
that has `${env.NAME}`, give this the same variables. It goes to the URL of the configuration; a redirect is not followed.

An event goes where it was to go, with its attributes and its id. One that is in the logs several times is sent once; when this
runs twice it is sent twice, and consumers know it by its id. Credentials are found as boto3 finds them. It needs sns:Publish on
the topic, sqs:SendMessage on the queue or events:PutEvents on the bus; and to read from a queue of dead letters
sqs:ReceiveMessage and sqs:DeleteMessage there. What cannot be sent stays in that queue. The exit code is 0 if everything that was
found was sent.
"""

import argparse
import base64
import fileinput
import hashlib
import hmac
import http.client
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import boto3
from aws_client import client as client_of_queue
from botocore.exceptions import BotoCoreError, ClientError

Letter = dict[str, Any]

# How Kong names the filter that logs.
_KONG = re.compile(r'\[proxy-wasm\]\["[^"]*" #\d+\] ')
_BEGIN = re.compile(r"retrohook-dead-letter(?:-part)? ")


class Reader:
    """Finds letters among lines that may be anything else: with a `mark` only those that bear it, without only those that bear none."""

    def __init__(self, mark: str | None = None) -> None:
        self._mark = mark
        word = f"{re.escape(mark)} " if mark else ""
        self._marked = re.compile(rf"retrohook-dead-letter(?:-part)? {word}")
        self._whole = re.compile(rf"retrohook-dead-letter {word}(\{{.*?) retrohook-end")
        self._part = re.compile(
            rf"retrohook-dead-letter-part {word}(\S+) ([1-9]\d{{0,4}})/([1-9]\d{{0,4}}) (.*?) retrohook-end"
        )
        # Of letters in parts, by the event's id and the count of parts: the pieces by their
        # numbers.
        self._pieces: dict[tuple[str, int], dict[int, str]] = {}
        self._joined: set[tuple[str, int]] = set()
        self.faults: list[str] = []

    def read(self, lines: Iterable[str]) -> Iterator[Letter]:
        for line in lines:
            # A line may have text of a client before a letter, or behind it.
            if begin := self._marked.search(line) or _BEGIN.search(line):
                text = self._text(line, begin.start())
                if text is not None and (letter := self._letter(text, line)) is not None:
                    yield letter
        for (event_id, count), pieces in self._pieces.items():
            missing = ", ".join(str(number) for number in range(1, count + 1) if number not in pieces)
            self.faults.append(f"{event_id}: of {count} parts these are missing: {missing}")

    def read_queue(self, sqs: Any, queue_url: str) -> Iterator[tuple[Letter, str]]:
        """Until the queue gives nothing: letters, and what each is deleted by."""
        while messages := sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages"):
            for message in messages:
                if (letter := self._letter(message["Body"], message["Body"])) is not None:
                    yield letter, message["ReceiptHandle"]

    def _text(self, line: str, start: int) -> str | None:
        """The JSON of the letter that the line has or completes."""
        if self._mark and not self._marked.match(line, start):
            self._report("without the mark, so that anybody may have made it up", line)
        elif not self._mark and '"' in _KONG.sub("", line[:start]):
            # Most access logs quote what a client sent; the filter quotes nothing that it logs.
            self._report("not the filter's own line, so that anybody may have made it up", line)
        elif whole := self._whole.match(line, start):
            return whole[1]
        elif (part := self._part.match(line, start)) and int(part[2]) <= int(part[3]):
            return self._join(part[1], int(part[2]), int(part[3]), part[4])
        else:
            self._report("cut off, or with a mark that --mark does not give", line)
        return None

    def _join(self, event_id: str, number: int, count: int, piece: str) -> str | None:
        key = (event_id, count)
        if key in self._joined:
            return None
        pieces = self._pieces.setdefault(key, {})
        pieces[number] = piece
        if len(pieces) < count:
            return None
        del self._pieces[key]
        self._joined.add(key)
        return "".join(pieces[number] for number in range(1, count + 1))

    def _letter(self, text: str, line: str) -> Letter | None:
        try:
            # Bytes that are not text: better not sent than sent with something else in their place.
            text.encode()
            letter = json.loads(text)
            body_of(letter) if "webhook_url" in letter["target"] else call_of(letter)
            if not all(isinstance(letter[name], str) for name in ("id", "at", "reason", "message")):
                raise TypeError("not texts")
            return letter
        except (ValueError, LookupError, TypeError, AttributeError):
            self._report("not a dead letter", line)
            return None

    def _report(self, what: str, line: str) -> None:
        self.faults.append(f"{what}: {line.strip():.300}")


def call_of(letter: Letter) -> tuple[str, str, str, dict[str, Any]]:
    """Service, method, region and arguments of the call that sends the event of a letter."""
    target = letter["target"]
    value = _filterable if "topic_arn" in target else lambda type, value: value
    attributes = {
        name: {"DataType": attribute["type"], "StringValue": value(**attribute)}
        for name, attribute in letter["attributes"].items()
    }
    group = {"MessageGroupId": letter["group_id"]} if "group_id" in letter else {}
    if "topic_arn" in target:
        name = target["topic_arn"]
        subject = {"Subject": letter["subject"]} if "subject" in letter else {}
        content = {"Message": letter["message"], "MessageAttributes": attributes, **subject, **group}
        call = ("sns", "publish", {"TopicArn": name, **content})
    elif "queue_url" in target:
        name = target["queue_url"]
        content = {"MessageBody": letter["message"], "MessageAttributes": attributes, **group}
        if "trace_header" in letter:
            trace = {"DataType": "String", "StringValue": letter["trace_header"]}
            content["MessageSystemAttributes"] = {"AWSTraceHeader": trace}
        call = ("sqs", "send_message", {"QueueUrl": name, **content})
    else:
        name = target["event_bus"]
        call = ("events", "put_events", {"Entries": [_entry(name, letter)]})
    service, method, arguments = call
    if name.endswith(".fifo"):
        arguments["MessageDeduplicationId"] = letter["id"]
    return service, method, target["region"], arguments


def _filterable(type: str, value: str) -> str:
    """As the gateway makes it: in a text, a filter policy reads quotes and backslashes as JSON has them."""
    return value.replace("\\", r"\\").replace('"', r"\"") if type == "String" else value


def _entry(event_bus: str, letter: Letter) -> dict[str, Any]:
    """As the gateway makes it."""
    attributes = {name: _value(**attribute) for name, attribute in letter["attributes"].items()}
    return {
        "EventBusName": event_bus,
        "Source": "retrohook",
        "DetailType": attributes.get("event_type", attributes.get("ce-type", "exchange")),
        "Detail": body_of(letter),
        "Time": datetime.fromisoformat(letter["at"]),
        **({"TraceHeader": letter["trace_header"]} if "trace_header" in letter else {}),
    }


def body_of(letter: Letter) -> str:
    """As the gateway makes it for targets without attributes beside the message: it has them inside, unless there are none, or it is
    a CloudEvent."""
    if not letter["attributes"] or is_cloud_event(letter):
        return letter["message"]
    attributes = {name: _value(**attribute) for name, attribute in letter["attributes"].items()}
    return f'{letter["message"].removesuffix("}")},"attributes":{json.dumps(attributes)}}}'


def is_cloud_event(letter: Letter) -> bool:
    return "ce-specversion" in letter["attributes"]


def _value(type: str, value: str) -> Any:
    return value if type == "String" else json.loads(value)


@cache
def client(service: str, region: str) -> Any:
    return boto3.client(service, region_name=region)


class Webhooks:
    """The webhooks of a gateway's configuration, by the name that letters have for them."""

    def __init__(self, config: dict[str, Any]) -> None:
        places = [config, *(config.get("routes") or [])]
        self._places = {place["webhook_url"].partition("?")[0]: place for place in places if place.get("webhook_url")}

    def send(self, letter: Letter) -> None:
        """Raises a ValueError for what the receiver did not take, or where it is not known."""
        if not (place := self._places.get(letter["target"]["webhook_url"])):
            raise ValueError(f"--config has no webhook_url {letter['target']['webhook_url']}")
        settings = place.get("webhook") or {}
        url = urlsplit(_expand(place["webhook_url"]))
        secrets = settings.get("secrets") or []
        body = body_of(letter).encode()
        kind = "application/cloudevents+json" if is_cloud_event(letter) else "application/json"
        headers = {"content-type": kind, "webhook-id": letter["id"], "webhook-timestamp": str(int(time.time()))}
        signed = f"{letter['id']}.{headers['webhook-timestamp']}.".encode() + body
        signatures = [_sign(_expand(secret), signed) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
        headers |= {"webhook-signature": " ".join(signatures)} if signatures else {}
        headers |= {name.lower(): _expand(value) for name, value in (settings.get("headers") or {}).items()}
        kind = http.client.HTTPSConnection if url.scheme.lower() == "https" else http.client.HTTPConnection
        connection = kind(url.hostname or "", url.port, timeout=30)
        try:
            path = f"{url.path or '/'}{'?' if url.query else ''}{url.query}"
            connection.request("POST", path, body, headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as fault:
            raise ValueError(f"no answer: {fault}") from fault
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise ValueError(f"the receiver answered {status}")


def _sign(secret: str, content: bytes) -> str:
    """A signature of Standard Webhooks, version 1."""
    text = secret.removeprefix("whsec_").translate(str.maketrans("-_", "+/"))
    key = base64.b64decode(text + "=" * (-len(text) % 4))
    return f"v1,{base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()}"


def _expand(text: str) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ValueError(f"the environment has no {found[1]}, which --config names")
        return os.environ[found[1]]

    return re.sub(r"\$\{env\.(\w+)\}", value, text)


def send(letter: Letter, webhooks: Webhooks | None = None) -> None:
    """Raises what boto3 raises, and a ValueError for an event that EventBridge or a webhook did not take."""
    if "webhook_url" in letter["target"]:
        return (webhooks or Webhooks({})).send(letter)
    service, method, region, arguments = call_of(letter)
    reply = getattr(client(service, region), method)(**arguments)
    if reply.get("FailedEntryCount"):
        raise ValueError(f"{reply['Entries'][0]['ErrorCode']}: {reply['Entries'][0].get('ErrorMessage')}")


def replay(letters: Iterable[Letter], reasons: list[str] | None, send: Callable[[Letter], None]) -> tuple[int, int]:
    """How many were sent, and how many could not be."""
    seen: set[str] = set()
    failed = 0
    for letter in letters:
        if letter["id"] in seen or (reasons and letter["reason"] not in reasons):
            continue
        try:
            send(letter)
        except (BotoCoreError, ClientError, ValueError) as fault:
            print("not sent:", letter["id"], fault, file=sys.stderr, flush=True)
            failed += 1
        seen.add(letter["id"])
    return len(seen) - failed, failed


def replay_logs(
    reader: Reader, logs: list[str], reasons: list[str] | None, send: Callable[[Letter], None]
) -> tuple[int, int]:
    """A log that cannot be opened, as one that was rotated away, is reported like a damaged letter."""

    def opened(name: str, mode: str) -> BinaryIO:
        try:
            return cast(BinaryIO, open(name, mode))
        except OSError as fault:
            reader.faults.append(f"{name}: {fault.strerror}")
            return io.BytesIO()

    with fileinput.input(logs, mode="rb", openhook=opened) as lines:
        return replay(reader.read(line.decode(errors="surrogateescape") for line in lines), reasons, send)


def replay_queue(
    reader: Reader, queue_url: str, reasons: list[str] | None, send: Callable[[Letter], None], keep: bool
) -> tuple[int, int]:
    """What was sent is deleted from the queue, unless it is to `keep` it."""
    sqs = client_of_queue("sqs", queue_url)
    handles: dict[str, str] = {}

    def letters() -> Iterator[Letter]:
        try:
            for letter, handle in reader.read_queue(sqs, queue_url):
                handles[letter["id"]] = handle
                yield letter
        except (BotoCoreError, ClientError) as fault:
            reader.faults.append(f"{queue_url}: {fault}")

    def send_and_delete(letter: Letter) -> None:
        send(letter)
        if not keep:
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=handles[letter["id"]])

    return replay(letters(), reasons, send_and_delete)


def show(letter: Letter) -> None:
    """Instead of sending it."""
    name = next(value for key, value in letter["target"].items() if key != "region")
    print(letter["id"], letter["at"], letter["reason"], "to", name, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="*", metavar="FILE", help="the gateway's logs; the standard input if there are none")
    parser.add_argument("--queue-url", help="the queue that dead letters went to, in place of logs")
    parser.add_argument("--mark", help="the gateway's dead_letter.mark", default=os.environ.get("RETROHOOK_DEAD_LETTER_MARK"))
    parser.add_argument("--dry-run", action="store_true", help="show what would be sent, and send nothing")
    parser.add_argument("--reason", action="append", help="only those lost for this reason; may be repeated")
    parser.add_argument("--config", type=Path, help="the gateway's configuration, for events for webhooks")
    arguments = parser.parse_args()

    reader = Reader(arguments.mark)
    try:
        webhooks = Webhooks(json.loads(arguments.config.read_text()) if arguments.config else {})
    except (OSError, ValueError, AttributeError, TypeError) as fault:
        parser.error(f"--config: {arguments.config}: no configuration in JSON: {fault}")
    deliver = show if arguments.dry_run else partial(send, webhooks=webhooks)
    if arguments.queue_url:
        sent, failed = replay_queue(reader, arguments.queue_url, arguments.reason, deliver, keep=arguments.dry_run)
    else:
        sent, failed = replay_logs(reader, arguments.logs, arguments.reason, deliver)
    for fault in reader.faults:
        print(fault, file=sys.stderr)
    print(sent, "would be sent," if arguments.dry_run else "sent,", failed, "not sent,", len(reader.faults), "not readable")
    sys.exit(1 if failed or reader.faults else 0)


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        # A reader that has left, such as `head`. Nothing more is written, not even at Python's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
