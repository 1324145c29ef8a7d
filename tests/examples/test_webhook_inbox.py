"""Both inboxes of the webhook worker: one claim at a time, until it is done, released or out of time."""

import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import webhook_inbox
from rig import PROJECT
from rig.moto import Moto
from rig.waiting import wait_for
from webhook_inbox import REMEMBERED_SECONDS, Claim, DynamoInbox, Inbox, SqliteInbox, Taken

# Every call opens the inbox once more, as another worker would.
Open = Callable[[], Inbox]


@pytest.fixture(scope="module")
def table(moto: Moto) -> tuple[str, str]:
    """A table as the template makes it, and the policy that lets workers use it."""
    stack = moto.create_stack(PROJECT / "deploy" / "capture.yaml", InboxTable="true")
    return stack["InboxTableName"], stack["InboxPolicyArn"]


@pytest.fixture(params=["sqlite", "dynamodb"])
def open_inbox(request: pytest.FixtureRequest, moto: Moto, tmp_path: Path) -> Open:
    if request.param == "sqlite":
        return lambda: SqliteInbox(str(tmp_path / "inbox"))
    name, policy_arn = request.getfixturevalue("table")
    client = moto.client("dynamodb", moto.create_user(policy_arns=[policy_arn]))
    return lambda: DynamoInbox(client, name)


@pytest.fixture
def webhook_id() -> str:
    return str(uuid.uuid4())


def test_what_is_done_is_never_claimed_again(open_inbox: Open, webhook_id: str) -> None:
    inbox = open_inbox()
    assert isinstance(inbox.claim(webhook_id, 60), Claim)
    inbox.finish(webhook_id)
    assert inbox.claim(webhook_id, 60) is Taken.DONE
    assert open_inbox().claim(webhook_id, 60) is Taken.DONE


def test_what_is_claimed_is_busy_until_it_is_released(open_inbox: Open, webhook_id: str) -> None:
    inbox, other = open_inbox(), open_inbox()
    claim = inbox.claim(webhook_id, 60)
    assert isinstance(claim, Claim)
    assert other.claim(webhook_id, 60) is Taken.BUSY
    other.release(webhook_id, Claim("another's"))
    assert other.claim(webhook_id, 60) is Taken.BUSY
    inbox.release(webhook_id, claim)
    assert isinstance(other.claim(webhook_id, 60), Claim)


def test_a_claim_ends_by_itself_unless_it_is_kept(open_inbox: Open, webhook_id: str) -> None:
    inbox, other = open_inbox(), open_inbox()
    claim = inbox.claim(webhook_id, 0.01)
    assert isinstance(claim, Claim)
    inbox.keep(webhook_id, claim, 60)
    assert other.claim(webhook_id, 60) is Taken.BUSY
    inbox.keep(webhook_id, claim, 0.01)
    taken_over = wait_for(
        lambda: found if isinstance(found := other.claim(webhook_id, 60), Claim) else None, "the claim to end"
    )
    # The first one is still alive, and may no longer do anything with what is another's.
    inbox.keep(webhook_id, claim, 0)
    inbox.release(webhook_id, claim)
    assert inbox.claim(webhook_id, 60) is Taken.BUSY
    # But what it has done is done.
    inbox.finish(webhook_id)
    other.release(webhook_id, taken_over)
    assert other.claim(webhook_id, 60) is Taken.DONE


@pytest.mark.parametrize("open_inbox", ["sqlite"], indirect=True)
def test_of_many_at_once_one_gets_it(open_inbox: Open, webhook_id: str) -> None:
    inboxes = [open_inbox() for _ in range(8)]
    start = threading.Barrier(len(inboxes))
    claims: list[Claim | Taken] = []

    def claim(inbox: Inbox) -> None:
        start.wait(10)
        claims.append(inbox.claim(webhook_id, 60))

    threads = [threading.Thread(target=claim, args=(inbox,)) for inbox in inboxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(claims) == 8
    assert sum(isinstance(each, Claim) for each in claims) == 1
    assert claims.count(Taken.BUSY) == 7


def open_for(seconds: float, request: pytest.FixtureRequest, tmp_path: Path) -> Inbox:
    if request.node.callspec.params["kind"] == "sqlite":
        return SqliteInbox(str(tmp_path / "inbox"), remembered_seconds=seconds)
    moto: Moto = request.getfixturevalue("moto")
    name, policy_arn = request.getfixturevalue("table")
    return DynamoInbox(moto.client("dynamodb", moto.create_user(policy_arns=[policy_arn])), name, seconds)


@pytest.mark.parametrize("kind", ["sqlite", "dynamodb"])
def test_what_was_done_long_ago_is_forgotten(
    request: pytest.FixtureRequest, tmp_path: Path, webhook_id: str, kind: str
) -> None:
    inbox = open_for(2, request, tmp_path)
    inbox.claim(webhook_id, 60)
    inbox.finish(webhook_id)
    assert inbox.claim(webhook_id, 60) is Taken.DONE
    # DynamoDB deletes it some time later; until then it counts as forgotten.
    wait_for(lambda: isinstance(inbox.claim(webhook_id, 60), Claim), "it to be forgotten")


@pytest.mark.parametrize("kind", ["sqlite", "dynamodb"])
def test_a_claim_that_nobody_ended_is_forgotten_too(
    request: pytest.FixtureRequest, tmp_path: Path, webhook_id: str, kind: str
) -> None:
    open_for(1000, request, tmp_path).claim(webhook_id, 60)
    if kind == "sqlite":
        ((forget_at,),) = rows(tmp_path / "inbox", "SELECT forget_at FROM webhooks")
    else:
        name, _ = request.getfixturevalue("table")
        key = {"id": {"S": webhook_id}}
        item = request.getfixturevalue("moto").client("dynamodb").get_item(TableName=name, Key=key)["Item"]
        forget_at = float(item["forget_at"]["N"])
    assert 990 < forget_at - time.time() < 1001


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def test_a_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    inbox = SqliteInbox(str(tmp_path / "inbox"), remembered_seconds=0)
    for number in range(100):
        inbox.claim(f"evt_{number}", 0)
        inbox.finish(f"evt_{number}")
    assert rows(tmp_path / "inbox", "SELECT count(*) FROM webhooks")[0][0] <= 2


def test_a_file_of_before_is_read_on_and_forgets_too(tmp_path: Path) -> None:
    path = tmp_path / "inbox"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE webhooks (id TEXT PRIMARY KEY, claim TEXT, claimed_until REAL)")
        database.execute("INSERT INTO webhooks VALUES ('done', NULL, NULL), ('busy', 'x', ?)", [time.time() + 60])
    start = threading.Barrier(4)

    def open_it() -> None:
        start.wait(10)
        SqliteInbox(str(path))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    inbox = SqliteInbox(str(path))
    assert inbox.claim("done", 60) is Taken.DONE and inbox.claim("busy", 60) is Taken.BUSY
    assert isinstance(inbox.claim("new", 60), Claim)
    for (forget_at,) in rows(path, "SELECT forget_at FROM webhooks"):
        assert abs(forget_at - time.time() - REMEMBERED_SECONDS) < 60


def test_a_file_that_another_process_holds_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_inbox, "_SECONDS_FOR_THE_FILE", 0.2)
    inbox = SqliteInbox(str(tmp_path / "inbox"))
    with closing(sqlite3.connect(tmp_path / "inbox", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        begin = time.monotonic()
        with pytest.raises(sqlite3.OperationalError):
            inbox.claim("evt_1", 60)
        assert time.monotonic() - begin < 2
    assert isinstance(inbox.claim("evt_1", 60), Claim)
