"""The callback example: what SNS posts to it expires pages, and what others post does not."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from callback_app import CallbackApp, SeenEvents, Subscriber, expire_page
from page_cache import PageCache
from rig.http import send
from sns_signature import SignatureCheck

EVENT = {"event_id": "0193-one", "request": {"method": "PUT", "uri": "/mockbin/profile?a=1"}}


class World:
    """The application with its origin, whose pages count how often they were fetched."""

    def __init__(self, signer: Any, topic_arn: str):
        self.fetches = 0
        self.confirmed: list[str] = []
        self.is_aws_reachable = True
        self._signer = signer
        cache = PageCache(self._page)
        check = SignatureCheck(self._certificate).check
        subscriber = Subscriber(topic_arn, expire_page(cache), check, self.confirmed.append)
        self.app = CallbackApp(("127.0.0.1", 0), cache, subscriber)

    def _page(self, path: str) -> bytes:
        self.fetches += 1
        return f"{path} {self.fetches}".encode()

    def _certificate(self, url: str) -> bytes:
        if not self.is_aws_reachable:
            raise OSError("no route to AWS")
        return self._signer.fetch(url)

    def post(self, message: Any) -> int:
        return send(self.app.server_address, "POST", "/events", body=json.dumps(message)).status

    def get(self, path: str = "/mockbin/profile") -> tuple[str, str]:
        reply = send(self.app.server_address, "GET", path)
        return reply.headers["x-cache"], reply.body.decode()


@pytest.fixture
def world(signer: Any, topic_arn: str) -> Iterator[World]:
    world = World(signer, topic_arn)
    thread = threading.Thread(target=world.app.serve_forever, args=(0.01,))
    thread.start()
    yield world
    world.app.shutdown()
    world.app.server_close()
    thread.join()


def test_an_event_expires_its_page_and_no_other(world: World, signer: Any) -> None:
    assert world.get() == ("miss", "/mockbin/profile 1")
    assert world.get("/mockbin/other") == ("miss", "/mockbin/other 2")
    assert world.get() == ("hit", "/mockbin/profile 1")
    assert world.post(signer.notification(json.dumps(EVENT))) == 200
    assert world.get() == ("miss", "/mockbin/profile 3")
    assert world.get("/mockbin/other") == ("hit", "/mockbin/other 2")


def test_the_same_event_is_handled_once(world: World, signer: Any) -> None:
    assert world.post(signer.notification(json.dumps(EVENT))) == 200
    world.get()
    again = signer.notification(json.dumps(EVENT), MessageId="another-message")
    assert world.post(again) == 200, "SNS must not send it a third time"
    assert world.get()[0] == "hit"
    assert world.post(signer.notification(json.dumps({**EVENT, "event_id": "0193-two"}))) == 200
    assert world.get()[0] == "miss"


@pytest.mark.parametrize("changes", [{"Message": json.dumps(EVENT) + " "}, {"SigningCertURL": "https://example.com/x"}])
def test_a_forged_message_changes_nothing(world: World, signer: Any, changes: dict[str, str]) -> None:
    world.get()
    assert world.post({**signer.notification(json.dumps(EVENT)), **changes}) == 403
    assert world.get()[0] == "hit"


def test_another_topic_is_not_believed(world: World, signer: Any) -> None:
    foreign = "arn:aws:sns:us-east-1:999999999999:foreign"
    world.get()
    assert world.post(signer.notification(json.dumps(EVENT), TopicArn=foreign)) == 403
    url = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription"
    assert world.post(signer.confirmation(url, TopicArn=foreign)) == 403
    assert world.get()[0] == "hit"
    assert world.confirmed == []


def test_a_subscription_is_confirmed(world: World, signer: Any) -> None:
    url = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37"
    assert world.post(signer.confirmation(url)) == 200
    assert world.confirmed == [url]


def test_no_other_address_is_ever_fetched_to_confirm(world: World, signer: Any) -> None:
    for url in ("http://169.254.169.254/latest/meta-data/", "https://example.com/?Action=ConfirmSubscription"):
        assert world.post(signer.confirmation(url)) == 403
    assert world.confirmed == []


@pytest.mark.parametrize("text", ["not JSON", "[]", "{}", '"text"', '{"event_id": "x"}'])
def test_a_message_that_is_no_event_is_not_tried_again(world: World, signer: Any, text: str) -> None:
    assert world.post(signer.notification(text)) == 400


@pytest.mark.parametrize("message", ["text", [], {}, None])
def test_what_is_no_sns_message_is_refused(world: World, message: Any) -> None:
    assert world.post(message) in (400, 403)


def test_sns_is_asked_to_come_again_while_its_certificate_cannot_be_had(world: World, signer: Any) -> None:
    world.is_aws_reachable = False
    world.get()
    assert world.post(signer.notification(json.dumps(EVENT))) == 503
    world.is_aws_reachable = True
    assert world.post(signer.notification(json.dumps(EVENT))) == 200
    assert world.get()[0] == "miss"


def test_only_the_callback_route_takes_posts(world: World) -> None:
    assert send(world.app.server_address, "POST", "/mockbin/profile", body="{}").status == 404


def test_a_page_fetched_while_it_changed_is_not_kept() -> None:
    def fetch(path: str) -> bytes:
        cache.expire(path)
        return b"old"

    cache = PageCache(fetch)
    assert cache.get("/x") == (b"old", False)
    assert cache.get("/x") == (b"old", False)


def test_seen_events_are_bounded() -> None:
    seen = SeenEvents(capacity=2)
    for event_id in ("a", "b", "c"):
        seen.add(event_id)
    assert "a" not in seen
    assert "b" in seen and "c" in seen
