"""Both inboxes of the webhook worker: one claim at a time, until it is done, released or out of time."""

import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from rig import PROJECT
from rig.moto import Moto
from rig.waiting import wait_for
from webhook_inbox import Claim, DynamoInbox, Inbox, SqliteInbox, Taken

# Every call opens the inbox anew, as another worker would.
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
