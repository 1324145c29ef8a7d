"""Dead letters are read from whatever a log is like, and their events are sent to where they were to go."""

import io
import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import replay_dead_letters
from replay_dead_letters import Reader, call_of, replay
from rig.moto import REGION, Credentials, Moto, Queue
from rig.webhook_receiver import SECRET, WebhookReceiver

TOPIC = "arn:aws:sns:us-east-1:123456789012:profile-events"
ENVOY = "[2026-11-24 22:00:00.000][7][error][wasm] [source/extensions/common/wasm/context.cc:1195] wasm log retrohook: "
KONG = '2026/11/24 22:00:00 [error] 7#0: *12 [proxy-wasm]["retrohook" #1] '
BEHIND_KONG = ' while logging request, client: 127.0.0.1, request: "PUT /mockbin/profile HTTP/1.1"'


def letter(event_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": event_id,
        "reason": "queue_full",
        "at": "2026-01-01T12:00:00.012Z",
        "target": {"topic_arn": TOPIC, "region": REGION},
        "message": json.dumps({"event_id": event_id}),
        "attributes": {"event_id": {"type": "String", "value": event_id}, "status": {"type": "Number", "value": "200"}},
        **changes,
    }


def text_of(letter: dict[str, Any]) -> str:
    return json.dumps(letter, ensure_ascii=False).replace("retrohook-", "retrohook\\u002d")


def whole(letter: dict[str, Any]) -> str:
    return f"retrohook-dead-letter {text_of(letter)} retrohook-end"


def parts(letter: dict[str, Any], size: int) -> list[str]:
    text = text_of(letter)
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    return [
        f"retrohook-dead-letter-part {letter['id']} {number}/{len(pieces)} {piece} retrohook-end"
        for number, piece in enumerate(pieces, 1)
    ]


def read(lines: Iterable[str], mark: str | None = None) -> tuple[list[dict[str, Any]], list[str]]:
    reader = Reader(mark)
    return list(reader.read(lines)), reader.faults


def test_whatever_is_written_is_read_in_whatever_order_its_parts_stand() -> None:
    dice = random.Random(7)
    for _ in range(200):
        alphabet = ["retrohook-end", "retrohook-dead-letter ", " ", "  ", '"', "\\", "é", "😀", "{", "}", "\n", "a"]
        letters = [letter(f"e-{number}", message="".join(dice.choices(alphabet, k=60))) for number in range(4)]
        lines = [whole(letters[0])]
        for each in letters[1:]:
            lines += parts(each, dice.randint(1, 80))
        dice.shuffle(lines)
        found, faults = read(f"{ENVOY}{line}\n" if dice.random() < 0.5 else f"{KONG}{line}{BEHIND_KONG}\n" for line in lines)
        assert sorted(found, key=lambda each: each["id"]) == letters
        assert faults == []


def test_other_lines_are_passed_over() -> None:
    lines = ["", "\x00\udcff garbage\n", f"{ENVOY}the queue has drained\n", whole(letter("a")), '{"json": "log"}\n']
    found, faults = read(lines)
    assert [each["id"] for each in found] == ["a"]
    assert faults == []


def test_parts_that_are_missing_are_reported_and_the_others_are_read() -> None:
    first, second = parts(letter("a"), 100), parts(letter("b"), 100)
    lines = [line for pair in zip(first, second, strict=True) for line in pair if line != first[1]]
    found, faults = read(lines)
    assert [each["id"] for each in found] == ["b"]
    assert faults == [f"a: of {len(first)} parts these are missing: 2"]


@pytest.mark.parametrize(
    "line",
    [
        whole(letter("a"))[:-5],
        parts(letter("a"), 100)[0][:-5],
        "retrohook-dead-letter {} retrohook-end",
        "retrohook-dead-letter [1] retrohook-end",
        "retrohook-dead-letter {broken retrohook-end",
        whole({**letter("a"), "target": {"region": REGION}}),
        whole({**letter("a"), "id": ["a"]}),
        whole({**letter("a"), "attributes": None}),
        whole(letter("a", message="\udcff")),
        "retrohook-dead-letter-part a 0/1 {} retrohook-end",
        "retrohook-dead-letter-part a 2/1 {} retrohook-end",
        "retrohook-dead-letter-part a 1/999999999999 {} retrohook-end",
    ],
)
def test_what_is_damaged_is_reported_and_the_next_is_read(line: str) -> None:
    found, faults = read([line, whole(letter("b"))])
    assert [each["id"] for each in found] == ["b"]
    assert len(faults) == 1


def test_a_letter_of_very_many_parts_takes_no_longer_than_its_length() -> None:
    many = letter("a", message="x" * 60_000)
    lines = parts(many, 3)
    assert len(lines) > 20_000
    begin = time.process_time()
    found, faults = read(lines)
    assert (found, faults) == ([many], [])
    # Looking for what is missing with each part took 10 s.
    assert time.process_time() - begin < 5


def test_a_client_cannot_put_a_letter_into_an_access_log() -> None:
    forged = f'[2026-11-24T22:00:00.000Z] "GET / HTTP/1.1" 404 - "{whole(letter("forged"))}" "gateway"\n'
    found, faults = read([forged])
    assert found == []
    assert len(faults) == 1 and "anybody may have made it up" in faults[0]


MARK = "9f3a0c55d1e84b7a-_"


def marked(line: str, mark: str = MARK) -> str:
    return re.sub(r"^(retrohook-dead-letter(?:-part)?) ", rf"\1 {mark} ", line)


def test_with_a_mark_only_letters_that_bear_it_are_read_whatever_stands_around_them() -> None:
    genuine = [letter("a"), letter("b", message='"quoted" retrohook-dead-letter {} retrohook-end')]
    forged = [whole(letter("x")), *parts(letter("y"), 50), marked(whole(letter("z")), "0" * len(MARK)), marked(whole(letter("w")), "")]
    # What a client sends may begin a line, and look like the gateway's own.
    around = ["", ENVOY, KONG, '10.0.0.7 - "GET / HTTP/1.1" 404 "', "\t"]
    lines = [f"{before}{line}\n" for line in forged for before in around]
    lines += [f"{before}{marked(line)}{BEHIND_KONG}\n" for line in [whole(genuine[0]), *parts(genuine[1], 60)] for before in around]
    # The client's text before a genuine letter on one line does not hide it.
    lines.append(f"{whole(letter('v'))} {marked(whole(letter('c')))}\n")
    random.Random(3).shuffle(lines)
    found, faults = read(lines, MARK)
    assert {each["id"] for each in found} == {"a", "b", "c"}
    assert [each for each in found if each["id"] == "b"] == [genuine[1]]
    assert len(faults) == len(forged) * len(around)
    assert all("anybody may have made it up" in fault for fault in faults)


def test_without_the_mark_that_a_letter_bears_it_is_not_sent_and_its_line_says_so() -> None:
    found, faults = read([marked(line) for line in [whole(letter("a")), *parts(letter("b"), 100)]])
    assert found == []
    assert all("--mark" in fault for fault in faults) and len(faults) > 1


def test_an_event_is_sent_once_however_often_it_stands_there() -> None:
    lines = [whole(letter("a")), *parts(letter("b"), 50), whole(letter("a")), *parts(letter("b"), 50), *parts(letter("b"), 70)]
    found, faults = read(lines)
    sent: list[str] = []
    assert replay(found, None, lambda each: sent.append(each["id"])) == (2, 0)
    assert sent == ["a", "b"] and faults == []


def test_reasons_are_chosen() -> None:
    letters = [letter("a"), letter("b", reason="expired"), letter("c", reason="refused")]
    sent: list[str] = []
    replay(letters, ["expired", "refused"], lambda each: sent.append(each["id"]))
    assert sent == ["b", "c"]


def test_a_fifo_target_gets_group_and_deduplication_id() -> None:
    for target in ({"topic_arn": TOPIC + ".fifo"}, {"queue_url": "https://sqs.us-east-1.amazonaws.com/1/q.fifo"}):
        *_, arguments = call_of(letter("a", target={**target, "region": REGION}, group_id="g"))
        assert (arguments["MessageGroupId"], arguments["MessageDeduplicationId"]) == ("g", "a")
    *_, arguments = call_of(letter("a", group_id="g"))
    assert arguments["MessageGroupId"] == "g" and "MessageDeduplicationId" not in arguments


@pytest.fixture
def as_administrator(moto: Moto, act_as: Callable[[Credentials], None]) -> None:
    act_as(moto.administrator)
    replay_dead_letters.client.cache_clear()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["replay_dead_letters.py", *arguments])
    with pytest.raises(SystemExit) as end:
        replay_dead_letters.main()
    return end.value.code


def subscribed_to_bus(moto: Moto, name: str) -> Queue:
    """A queue that gets what the event bus `name` gets."""
    events, queue = moto.client("events"), moto.create_queue()
    events.create_event_bus(Name=name)
    events.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps({"source": ["retrohook"]}))
    events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": queue.arn}])
    return queue


@pytest.mark.usefixtures("as_administrator")
def test_events_arrive_where_they_were_to_go(moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    topic_arn = moto.create_topic()
    of_topic, queue, of_bus = moto.subscribe_queue(topic_arn), moto.create_queue(), subscribed_to_bus(moto, "bus")
    letters = [
        letter("a", target={"topic_arn": topic_arn, "region": REGION}, subject="S", message='{"event_id": "a", "é": "😀"}'),
        letter("b", target={"queue_url": queue.url, "region": REGION}),
        letter("c", target={"event_bus": "bus", "region": REGION}),
    ]
    logs = [tmp_path / "1.log", tmp_path / "2.log"]
    logs[0].write_text("".join(f"{ENVOY}{line}\n" for line in [*parts(letters[0], 90)[1:], whole(letters[1])]))
    logs[1].write_text("".join(f"{KONG}{line}\n" for line in [whole(letters[2]), parts(letters[0], 90)[0]]))
    assert run(monkeypatch, *map(str, logs)) == 0

    (message,) = moto.receive(of_topic, 1)
    assert message["Body"] == letters[0]["message"]
    assert message["MessageAttributes"]["status"] == {"DataType": "Number", "StringValue": "200"}
    (message,) = moto.receive(queue, 1)
    assert message["Body"] == letters[1]["message"]
    assert message["MessageAttributes"]["event_id"]["StringValue"] == "b"
    (message,) = moto.receive(of_bus, 1)
    found = json.loads(message["Body"])
    assert found["detail"] == {"event_id": "c", "attributes": {"event_id": "c", "status": 200}}
    assert (found["detail-type"], found["time"][:19]) == ("exchange", "2026-01-01T12:00:00")


def test_a_cloud_event_goes_to_a_bus_as_the_gateway_puts_it_there() -> None:
    attributes = {"ce-specversion": {"type": "String", "value": "1.0"}, "ce-type": {"type": "String", "value": "order.placed"}}
    target = {"event_bus": "bus", "region": REGION}
    _, _, _, arguments = call_of(letter("a", target=target, message='{"specversion":"1.0","id":"a"}', attributes=attributes))
    (entry,) = arguments["Entries"]
    assert (entry["Detail"], entry["DetailType"]) == ('{"specversion":"1.0","id":"a"}', "order.placed")


@pytest.mark.usefixtures("as_administrator")
def test_a_dry_run_sends_nothing(
    moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = moto.create_queue()
    log = tmp_path / "log"
    log.write_text(whole(letter("a", target={"queue_url": queue.url, "region": REGION})))
    assert run(monkeypatch, "--dry-run", str(log)) == 0
    assert moto.messages_left(queue) == 0
    assert re.search(rf"^a 2026\S+ queue_full to {queue.url}$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.usefixtures("as_administrator")
def test_what_is_refused_is_told_and_the_others_are_sent(
    moto: Moto, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = moto.create_queue()
    targets = [{"topic_arn": TOPIC + "-that-is-not-there"}, {"queue_url": queue.url}]
    lines = [whole(letter(str(number), target={**target, "region": REGION})) for number, target in enumerate(targets)]
    stdin = io.TextIOWrapper(io.BytesIO(b"\xff not UTF-8\n" + "\n".join(lines).encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run(monkeypatch) == 1
    shown = capsys.readouterr()
    assert "not sent: 0" in shown.err
    assert shown.out == "1 sent, 1 not sent, 0 not readable\n"
    assert moto.messages_left(queue) == 1


def test_a_log_that_cannot_be_opened_is_reported_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log, gone = tmp_path / "envoy.log", tmp_path / "gone.log"
    log.write_text(whole(letter("e-1")))
    assert run(monkeypatch, "--dry-run", str(gone), str(tmp_path), str(log)) == 1
    written = capsys.readouterr()
    assert "e-1" in written.out and "1 would be sent, 0 not sent, 2 not readable" in written.out
    assert f"{gone}: No such file or directory" in written.err and f"{tmp_path}: Is a directory" in written.err


@pytest.mark.usefixtures("as_administrator")
def test_what_went_to_a_queue_is_sent_from_there_and_what_cannot_be_sent_stays(
    moto: Moto, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dead_letters, queue = moto.create_queue(), moto.create_queue()
    targets = [{"queue_url": queue.url}, {"topic_arn": TOPIC + "-that-is-not-there"}]
    letters = [letter(str(number), target={**target, "region": REGION}) for number, target in enumerate(targets)]
    for body in [*map(text_of, letters), "no letter"]:
        moto.client("sqs").send_message(QueueUrl=dead_letters.url, MessageBody=body)
    assert run(monkeypatch, "--queue-url", dead_letters.url) == 1
    assert "1 sent, 1 not sent, 1 not readable" in capsys.readouterr().out
    (message,) = moto.receive(queue, 1)
    assert message["Body"] == letters[0]["message"]
    assert moto.messages_left(dead_letters) == 2


HOOK = "https://hooks.example.com/${env.HOOK_PATH}"


def test_a_letter_for_a_webhook_is_signed_as_the_configuration_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_PATH", "in")
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    with WebhookReceiver() as receiver:
        host, port = receiver.address
        url = f"http://{host}:{port}/${{env.HOOK_PATH}}"
        route = {"webhook_url": f"{url}?a=1", "webhook": {"secrets": "${env.HOOK_SECRET}", "headers": {"X-Key": "k"}}}
        webhooks = replay_dead_letters.Webhooks({"topic_arn": TOPIC, "routes": [{}, route]})
        (read_again,), faults = read([whole(letter("e-1", target={"webhook_url": url}))])
        assert faults == []
        assert replay([read_again], None, lambda each: replay_dead_letters.send(each, webhooks)) == (1, 0)
        (request,) = receiver.requests
        assert request.is_signed_with(SECRET) and request.headers["x-key"] == "k" and request.target == "/in?a=1"
        assert request.event == {"event_id": "e-1", "attributes": {"event_id": "e-1", "status": 200}}
        # A message of the operator's own, which is all that the gateway sends.
        alone = letter("e-2", target={"webhook_url": url}, message='{"records":[]}', attributes={})
        assert replay([alone], None, lambda each: replay_dead_letters.send(each, webhooks)) == (1, 0)
        assert receiver.requests[-1].body == b'{"records":[]}'


def test_a_letter_for_a_webhook_stays_unsent_where_it_is_not_known_or_not_taken(capsys: pytest.CaptureFixture[str]) -> None:
    to_webhook = letter("e-1", target={"webhook_url": HOOK})
    assert replay([to_webhook], None, replay_dead_letters.send) == (0, 1)
    assert f"--config has no webhook_url {HOOK}" in capsys.readouterr().err
    with WebhookReceiver() as receiver:
        receiver.answer_with(307, headers=(("location", "/elsewhere"),))
        host, port = receiver.address
        url = f"http://{host}:{port}/in"
        webhooks = replay_dead_letters.Webhooks({"webhook_url": url})
        letters = [letter("e-2", target={"webhook_url": url})]
        assert replay(letters, None, lambda each: replay_dead_letters.send(each, webhooks)) == (0, 1)
        assert len(receiver.requests) == 1, "a redirect is not followed"
    assert "the receiver answered 307" in capsys.readouterr().err
