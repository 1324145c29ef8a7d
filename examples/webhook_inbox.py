"""Which webhooks are done, and which are being worked on: so that one that comes twice is handled once.

A webhook is known by its id alone. A worker claims the id before it handles the webhook. A claim that
is neither kept up nor ended is over after a while, so that a worker that dies holds nothing up.
Claims end by the clock of the machine: several machines need clocks that agree within a few seconds.

Both inboxes forget a webhook 30 days after it was done, or was claimed for the last time.
"""

import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import Enum
from typing import Any, Protocol

# Longer than a message can lie in a queue and then in a dead-letter queue, and than a sender goes
# on trying.
REMEMBERED_SECONDS = 30 * 24 * 3600

# More than one, so that a file that has grown shrinks; few, so that no claim waits for it.
_FORGOTTEN_PER_CLAIM = 10

# Short, because what waits meanwhile is somebody else's webhook.
_SECONDS_FOR_THE_FILE = 5


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

    def __init__(self, path: str, remembered_seconds: float = REMEMBERED_SECONDS):
        self._path = path
        self._remembered_seconds = remembered_seconds
        with self._writing() as database:
            database.execute("CREATE TABLE IF NOT EXISTS webhooks (id TEXT PRIMARY KEY, claim TEXT, claimed_until REAL)")
            # Files from before inboxes forgot do not have it.
            if "forget_at" not in {column[1] for column in database.execute("PRAGMA table_info(webhooks)")}:
                database.execute("ALTER TABLE webhooks ADD COLUMN forget_at REAL")
                database.execute("UPDATE webhooks SET forget_at = ?", [time.time() + remembered_seconds])
            database.execute("CREATE INDEX IF NOT EXISTS webhooks_forget_at ON webhooks (forget_at)")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction with a connection of its own: no thread waits for another's."""
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=_SECONDS_FOR_THE_FILE)) as database:
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")

    def claim(self, webhook_id: str, seconds: float) -> Claim | Taken:
        claim, now = Claim(uuid.uuid4()), time.time()
        with self._writing() as database:
            database.execute(
                "DELETE FROM webhooks WHERE rowid IN (SELECT rowid FROM webhooks WHERE forget_at < ? LIMIT ?)",
                [now, _FORGOTTEN_PER_CLAIM],
            )
            new = database.execute(
                "INSERT INTO webhooks (id, claim, claimed_until, forget_at) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET claim = excluded.claim, claimed_until = excluded.claimed_until, "
                "forget_at = excluded.forget_at WHERE claimed_until < ? OR forget_at < ?",
                [webhook_id, claim, now + seconds, now + self._remembered_seconds, now, now],
            ).rowcount
            if new:
                return claim
            row = database.execute("SELECT claimed_until FROM webhooks WHERE id = ?", [webhook_id]).fetchone()
        return Taken.DONE if row == (None,) else Taken.BUSY

    def keep(self, webhook_id: str, claim: Claim, seconds: float) -> None:
        until = time.time() + seconds
        with self._writing() as database:
            database.execute(
                "UPDATE webhooks SET claimed_until = ? WHERE id = ? AND claim = ?", [until, webhook_id, claim]
            )

    def finish(self, webhook_id: str) -> None:
        # Even if the claim is another worker's by now: work that is done is done.
        with self._writing() as database:
            database.execute(
                "INSERT OR REPLACE INTO webhooks (id, forget_at) VALUES (?, ?)",
                [webhook_id, time.time() + self._remembered_seconds],
            )

    def release(self, webhook_id: str, claim: Claim) -> None:
        with self._writing() as database:
            database.execute("DELETE FROM webhooks WHERE id = ? AND claim = ?", [webhook_id, claim])


class DynamoInbox:
    """In a table of DynamoDB with the key `id`, and `forget_at` for its time to live: for workers on several machines."""

    def __init__(self, dynamodb: Any, table: str, remembered_seconds: float = REMEMBERED_SECONDS):
        self._dynamodb = dynamodb
        self._table = table
        self._remembered_seconds = remembered_seconds

    def claim(self, webhook_id: str, seconds: float) -> Claim | Taken:
        claim, now = Claim(uuid.uuid4()), time.time()
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={
                    "id": {"S": webhook_id},
                    "claim": {"S": claim},
                    "claimed_until": {"N": str(now + seconds)},
                    "forget_at": self._forget_at(),
                },
                # DynamoDB may take two days to delete what it should forget.
                ConditionExpression="attribute_not_exists(id) OR claimed_until < :now OR forget_at < :now",
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
        self._dynamodb.put_item(TableName=self._table, Item={"id": {"S": webhook_id}, "forget_at": self._forget_at()})

    def release(self, webhook_id: str, claim: Claim) -> None:
        self._if_still_had(self._dynamodb.delete_item, webhook_id, claim, {})

    def _forget_at(self) -> dict[str, str]:
        return {"N": str(int(time.time() + self._remembered_seconds))}

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
