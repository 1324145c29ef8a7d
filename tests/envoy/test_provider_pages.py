"""What docs/providers.md says to paste and to type, as it stands there: the gateway's side in real Envoy, the command in a shell."""

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from rig import PROJECT
from rig.envoy import Envoy
from rig.sqs_sink import SqsSink

PAGE = (PROJECT / "docs" / "providers.md").read_text()
FAMILIES = {
    title: (json.loads(settings), command)
    for title, settings, command in re.findall(r"\n## ([^\n]+)\n(?:(?!\n## ).)*?```json\n(.+?)```\n\n```sh\n(.+?)```", PAGE, re.DOTALL)
}
TITLES = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
SECRETS = {"Standard Webhooks": ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c29tZW9uZSBlbHNlJ3Mgc2VjcmV0LCBhIGxvbmcgb25l")}


def run(envoy: Envoy, command: str, secret: str) -> str:
    """The reply as curl prints it."""
    host, port = envoy.address_of()
    environment = {"GATEWAY": f"http://{host}:{port}", "SECRET": secret, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_family_has_both_sides_and_a_command() -> None:
    assert list(FAMILIES) == TITLES and len(TITLES) == 8


@pytest.mark.parametrize("title", FAMILIES)
def test_what_the_page_has_is_verified_and_with_another_secret_it_is_not(
    start_capture: Callable[..., Envoy], queue: SqsSink, title: str
) -> None:
    settings, command = FAMILIES[title]
    secret, another = SECRETS.get(title, ("it's a \"secret\"", "another"))
    capture: dict[str, Any] = {**settings, "verify": {**settings["verify"], "secrets": ["the next one's turn", secret]}}
    if title == "Standard Webhooks":
        capture["verify"]["secrets"] = [secret]
    envoy = start_capture(queue, capture=capture)

    def stored(command: str, secret: str) -> dict[str, Any]:
        reply = run(envoy, command, secret)
        assert reply.startswith("HTTP/1.1 200 OK") and "x-retrohook-message-id: " in reply, reply
        return queue.requests.pop().message

    good = stored(command, secret)
    assert good["verified"] is True, good["verify_error"]
    if "try" in command:
        assert good.get("sender_id") or title == "A hash of URL and body", good
    assert stored(command, another)["verify_error"] == "no signature matches"
    if "signature=" in command and "Mailgun" not in title:
        changed = command.replace('--data-binary "$body"', '--data-binary "$body "')
        assert changed != command and stored(changed, secret)["verify_error"] == "no signature matches"


def test_the_challenge_of_slack_is_answered_as_the_page_says(start_capture: Callable[..., Envoy], queue: SqsSink) -> None:
    (command,) = re.findall(r"```sh\n((?:(?!```).)*?x-slack-signature.+?)```", PAGE, re.DOTALL)
    envoy = start_capture(queue, capture={"verify": {"scheme": "slack", "secrets": ["secret"]}})
    reply = run(envoy, command, "secret")
    assert reply.startswith("HTTP/1.1 200 OK") and reply.endswith("try-1") and "x-retrohook-message-id" not in reply, reply
    assert run(envoy, command, "another").startswith("HTTP/1.1 401 ")
    envoy.wait_for_log(r"capture `[^`]+`: 1 webhook\(s\) without a good signature, answered 401: no signature matches")
    assert not queue.requests
