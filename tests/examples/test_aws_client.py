"""What the commands of examples/ say where they cannot begin: a sentence, and no traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aws_client import client, region_of
from rig import PROJECT
from rig.http import unused_address

QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/letters"


@pytest.mark.parametrize(
    ("url", "region"),
    [
        (QUEUE, "us-east-1"),
        ("https://sqs-fips.us-gov-west-1.amazonaws.com/123456789012/q.fifo", "us-gov-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q", "cn-north-1"),
        ("https://eu-west-1.queue.amazonaws.com/123456789012/q", "eu-west-1"),
        ("https://vpce-0a-1.sqs.eu-central-1.vpce.amazonaws.com/123456789012/q", "eu-central-1"),
        ("https://sqs.us-east-1.api.aws/123456789012/q", "us-east-1"),
        ("http://127.0.0.1:5000/123456789012/q", None),
        ("https://sqs.us-east-1.amazonaws.com.evil.example/123456789012/q", None),
    ],
)
def test_the_region_is_that_of_the_queue_s_url(url: str, region: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert region_of(url) == region
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    assert client("sqs", url).meta.region_name == (region or "ap-south-1")
    assert client("dynamodb", url).meta.region_name == "ap-south-1"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In an environment without anything of AWS's."""
    script, *rest = arguments
    known = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1"}
    command = [sys.executable, PROJECT / "examples" / script, *rest]
    return subprocess.run(command, env=known | environment, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("script", ["queue_worker.py", "webhook_worker.py", "replay_dead_letters.py", "redrive.py"])
def test_without_a_region_a_command_says_so(script: str, tmp_path: Path) -> None:
    queue = "http://127.0.0.1:1/123456789012/q"
    inbox = ["--inbox", str(tmp_path / "inbox")] if "worker" in script else []
    urls = ["--from", queue, "--to", queue] if script == "redrive.py" else ["--queue-url", queue]
    done = run(script, *urls, *inbox)
    assert (done.returncode, done.stderr) == (1, f"no region: {queue} names none, so set AWS_DEFAULT_REGION\n")


def test_what_a_replay_cannot_begin_or_finish_is_said_in_a_line(tmp_path: Path) -> None:
    host, port = unused_address()
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    letter = {
        "id": "e-1", "reason": "expired", "at": "2026-01-01T12:00:00Z", "target": {"webhook_url": "http://127.0.0.1:1/in"},
        "message": "{}", "attributes": {},
    }  # fmt: skip
    (tmp_path / "log").write_text(f"retrohook-dead-letter {json.dumps(letter)} retrohook-end\n")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "config.json").write_text('{"webhook_url": "http://127.0.0.1:1/in", "webhook": {"secrets": "${env.NONE}"}}')
    for arguments, environment, code, says in [
        (["--queue-url", QUEUE], {}, 1, f"{QUEUE}: Unable to locate credentials"),
        (["--queue-url", QUEUE], keys, 1, f"{QUEUE}: Could not connect to the endpoint URL"),
        (["--config", str(tmp_path / "none.json"), str(tmp_path / "log")], {}, 2, "none.json: no configuration in JSON: [Errno 2]"),
        (["--config", str(tmp_path / "broken.json"), str(tmp_path / "log")], {}, 2, "broken.json: no configuration in JSON: "),
        (["--config", str(tmp_path / "list.json"), str(tmp_path / "log")], {}, 2, "list.json: no configuration in JSON: "),
        (["--config", str(tmp_path / "config.json"), str(tmp_path / "log")], {}, 1, "e-1 the environment has no NONE"),
        ([str(tmp_path / "no.log")], {}, 1, "no.log: No such file or directory"),
    ]:
        done = run("replay_dead_letters.py", *arguments, **environment)
        assert done.returncode == code and says in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and "hunter2" not in done.stderr


def test_a_reader_that_has_left_is_no_traceback(tmp_path: Path) -> None:
    letters = [
        {"id": f"e-{number}", "reason": "expired", "at": "2026-01-01T12:00:00Z", "message": "{}", "attributes": {},
         "target": {"queue_url": QUEUE, "region": "us-east-1"}}
        for number in range(2000)
    ]  # fmt: skip
    (tmp_path / "log").write_text("".join(f"retrohook-dead-letter {json.dumps(letter)} retrohook-end\n" for letter in letters))
    script = PROJECT / "examples" / "replay_dead_letters.py"
    command = f"'{sys.executable}' '{script}' --dry-run '{tmp_path / 'log'}' | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("e-0 ") and done.stderr == "", done.stderr
