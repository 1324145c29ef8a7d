"""Which webhooks are done, and which are being worked on: so that one that comes twice is handled once.

Whoever wants to handle a webhook claims its id first. A claim that is neither kept up nor ended is over after a while, so that
a worker that dies holds nothing up for ever.
"""

import sqlite3
import threading
import time
import uuid
from enum import Enum
from typing import Any, Protocol


class Claim(str):
    """A webhook is the holder's to handle."""


class Taken(Enum):
    """Why there is no claim."""

    DONE = "done before"
    BUSY = "being handled"


class Inbox(Protocol):
    def claim(self, webhook_id: str, seconds: float) -> Claim | Taken:
        """Takes the webhook for `seconds`, if nobody has it and it is not done."""

    def keep(self, webhook_id: str, claim: Claim, seconds: float) -> None:
        """Goes on having it for `seconds` from now, unless somebody else has it."""

    def finish(self, webhook_id: str) -> None:
        """It is done."""

    def release(self, webhook_id: str, claim: Claim) -> None:
        """It is not done, and anybody's again, unless somebody else has it."""


class SqliteInbox:
    """In a file: for the workers of one machine."""

    def __init__(self, path: str):
        self._lock = threading.Lock()
        # One connection for all threads, behind the lock; other processes wait for the file.
        self._database = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
        self._write("CREATE TABLE IF NOT EXISTS webhooks (id TEXT PRIMARY KEY, claim TEXT, claimed_until REAL)")

    def _write(self, statement: str, *values: Any) -> int:
        with self._lock:
            return self._database.execute(statement, values).rowcount

    def claim(self, webhook_id: str, seconds: float) -> Claim | Taken:
        claim, now = Claim(uuid.uuid4()), time.time()
        new = self._write(
            "INSERT INTO webhooks VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE "
            "SET claim = excluded.claim, claimed_until = excluded.claimed_until WHERE claimed_until < ?",
            webhook_id, claim, now + seconds, now,
        )  # fmt: skip
        if new:
            return claim
        with self._lock:
            row = self._database.execute("SELECT claimed_until FROM webhooks WHERE id = ?", [webhook_id]).fetchone()
        return Taken.DONE if row == (None,) else Taken.BUSY

    def keep(self, webhook_id: str, claim: Claim, seconds: float) -> None:
        until = time.time() + seconds
        self._write("UPDATE webhooks SET claimed_until = ? WHERE id = ? AND claim = ?", until, webhook_id, claim)

    def finish(self, webhook_id: str) -> None:
        # Whoever has the claim: work that is done is done.
        self._write("INSERT OR REPLACE INTO webhooks VALUES (?, NULL, NULL)", webhook_id)

    def release(self, webhook_id: str, claim: Claim) -> None:
        self._write("DELETE FROM webhooks WHERE id = ? AND claim = ?", webhook_id, claim)


# Longer than a message can lie in a queue and then in a dead-letter queue, and than a sender goes on trying.
_REMEMBERED_SECONDS = 30 * 24 * 3600


class DynamoInbox:
    """In a table of DynamoDB with the key `id`, and `forget_at` for its time to live: for workers on several machines."""

    def __init__(self, dynamodb: Any, table: str):
        self._dynamodb = dynamodb
        self._table = table

    def claim(self, webhook_id: str, seconds: float) -> Claim | Taken:
        claim, now = Claim(uuid.uuid4()), time.time()
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={"id": {"S": webhook_id}, "claim": {"S": claim}, "claimed_until": {"N": str(now + seconds)}},
                ConditionExpression="attribute_not_exists(id) OR claimed_until < :now",
                ExpressionAttributeValues={":now": {"N": str(now)}},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as taken:
            return Taken.BUSY if "claimed_until" in taken.response["Item"] else Taken.DONE
        return claim

    def keep(self, webhook_id: str, claim: Claim, seconds: float) -> None:
        until = {":until": {"N": str(time.time() + seconds)}}
        self._if_still_had(self._dynamodb.update_item, webhook_id, claim, until, UpdateExpression="SET claimed_until = :until")

    def finish(self, webhook_id: str) -> None:
        forget_at = {"N": str(int(time.time()) + _REMEMBERED_SECONDS)}
        self._dynamodb.put_item(TableName=self._table, Item={"id": {"S": webhook_id}, "forget_at": forget_at})

    def release(self, webhook_id: str, claim: Claim) -> None:
        self._if_still_had(self._dynamodb.delete_item, webhook_id, claim, {})

    def _if_still_had(self, call: Any, webhook_id: str, claim: Claim, values: dict[str, Any], **more: Any) -> None:
        try:
            call(
                TableName=self._table,
                Key={"id": {"S": webhook_id}},
                ConditionExpression="claim = :claim",
                ExpressionAttributeValues={":claim": {"S": claim}, **values},
                **more,
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            pass
