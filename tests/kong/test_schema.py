"""The schemas, for Kong's Admin API and for editors, are held to the filter's own checks, which are in src/config.

They take every valid configuration. What the filter refuses, they refuse too, as far as draft 4 can say it. That the files are
what the code prints is a test of cli/tests.
"""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft4Validator, Draft202012Validator
from rig import PROJECT

from .schema import KEYWORDS, META, SCHEMA, VALIDATOR, nodes, properties

CONFIGS = PROJECT / "tests" / "configs"
EDITORS: dict[str, Any] = json.loads((PROJECT / "docs" / "config.schema.json").read_text())
VALIDATORS = {"kong": VALIDATOR, "editors": Draft202012Validator(EDITORS)}
FAULTS: list[dict[str, Any]] = json.loads((CONFIGS / "faults.json").read_text())

# Where the schema says yes and the filter says no, by the reason why draft 4 has no words for it.
BEYOND_DRAFT_4 = {
    "whether a text is a regular expression": {
        "matcher not a regular expression",
        "matcher with a parameter in braces",
        "matcher too large",
        "groups of a bad matcher are not asked for",
        "a condition that is no regular expression",
        "redact path of a bad matcher is not asked for",
    },
    "whether one text has a name that stands in another": {
        "placeholder for a group that is not there",
        "placeholder for a group of a matcher without any",
        "two groups that are not there in one text",
        "a group that no matcher has, for every route",
        "capture with a group of a matcher without any",
        "redact path without any group",
        "a group that is not there in a list of an attribute",
        "a group that is not there in a message",
    },
    "whether another key keeps the body that a text names": {
        "a condition on a body",
        "placeholders of bodies that are not kept",
        "an attribute for every route, and no route keeps the body",
        "a body that stands nowhere",
    },
    "whether two routes name the same target": {"messages of two sizes for one target"},
    "how many routes of a list have a method together": {"too many events of one exchange"},
    "what stands at any depth of a message": {
        "faults inside a message",
        "a message with a body",
        "a message with too many placeholders",
        "a message with what would not stay as it is",
    },
    "whether a text is base64": {"verify with a secret that is no base64", "a key that is not hexadecimal"},
    "whether a name and a password are in a text": {
        "basic without a password",
        "basic without a name and without a password",
    },
    "whether another text of a list begins in the same way": {"a public key beside a secret"},
    "what another text has placeholders of": {
        "a time that is not signed",
        "a challenge with an HMAC for anybody",
        "a challenge with an HMAC of what is not signed",
    },
    "how many bytes a text stands for": {"a secret of Standard Webhooks that is too short"},
    "what the environment of the filter has": {
        "a secret of an environment without it",
        "a key of an environment without it",
        "webhook_url of an environment without it",
        "a secret of a webhook of an environment without it",
    },
    "whether two names are one in another case": {"a header of a webhook given twice"},
    "whether two routes have one webhook": {"two webhooks of one URL and other secrets", "two webhooks of one URL and other queries"},
    "whether two texts name the same region": {"a region that is not the topic's", "a region that is not a queue's"},
    "whether two members of a list have the same name": {"two captures of one name"},
    "which of two numbers in a text is larger": {"status range the wrong way"},
    "which of two numbers is larger": {"retry that begins beyond its end"},
    "how many keys two objects have together": {"too many attributes together"},
}


CAPTURE = {
    "capture": SCHEMA["definitions"]["capture"],
    "capture.response": SCHEMA["definitions"]["capture_response"],
    "capture.unverified": SCHEMA["definitions"]["unverified"],
    "capture.verify": SCHEMA["definitions"]["verify"],
    "capture.verify.timestamp": SCHEMA["definitions"]["signature_time"],
    "capture.challenges": SCHEMA["definitions"]["own_challenge"],
    "capture.challenges.response": SCHEMA["definitions"]["challenge_response"],
    "attributes": SCHEMA["definitions"]["typed_attribute"],
    "webhook": SCHEMA["definitions"]["webhook"],
    "request_body": SCHEMA["definitions"]["kept_body"],
}


def page(name: str) -> str:
    return (PROJECT / name).read_text()


@pytest.mark.parametrize("schema", VALIDATORS)
@pytest.mark.parametrize("path", sorted((CONFIGS / "valid").iterdir()), ids=lambda path: path.stem)
def test_every_valid_configuration_is_accepted(path: Any, schema: str) -> None:
    VALIDATORS[schema].validate(json.loads(path.read_text()))


@pytest.mark.parametrize("schema", VALIDATORS)
def test_every_fault_that_draft_4_can_say_is_refused(schema: str) -> None:
    accepted = {fault["name"] for fault in FAULTS if VALIDATORS[schema].is_valid(fault["config"])}
    assert accepted == set().union(*BEYOND_DRAFT_4.values())


def test_the_schema_for_editors_says_what_each_key_is() -> None:
    Draft202012Validator.check_schema(EDITORS)
    assert EDITORS["$schema"].endswith("/2020-12/schema") and EDITORS["$id"]
    resolved = {name: EDITORS["$defs"].get(child.get("$ref", "").rpartition("/")[2], child) for name, child in EDITORS["properties"].items()}
    assert [name for name, child in resolved.items() if not child.get("description")] == []


def test_it_is_draft_4_with_keywords_that_kong_implements() -> None:
    Draft4Validator.check_schema(SCHEMA)
    used = {keyword for node in nodes() for keyword in node}
    assert used <= KEYWORDS


def test_no_check_of_a_value_stands_beside_a_check_of_its_parts() -> None:
    # Kong's validator keeps the type of the value at hand where a check of its parts overwrites it: what is checked
    # afterwards is skipped, or ends in an error. Objects and lists are safe, texts and numbers are not.
    of_parts = {"properties", "patternProperties", "items"}
    afterwards = {"minLength", "maxLength", "pattern", "multipleOf", "minimum", "maximum"}
    for node in nodes():
        assert not (of_parts & node.keys() and afterwards & node.keys()), node


def test_a_key_of_aws_is_never_shown() -> None:
    # Kong quotes what did not match a pattern, in its reply and in its log, but not what a `not` refused.
    key = SCHEMA["definitions"]["key"]
    assert "pattern" not in key and "pattern" in key["not"]


def schema_keys() -> dict[str, set[str]]:
    """The keys by the object that they stand in; the outermost is the empty text."""
    objects = {name: child for name, child in properties().items() if "properties" in child}
    inner = properties(SCHEMA["properties"]["credentials"])
    objects |= {f"credentials.{name}": child for name, child in inner.items() if "properties" in child}
    objects |= {"": SCHEMA, "routes": SCHEMA["definitions"]["route"], **CAPTURE}
    return {name: set(properties(each)) for name, each in objects.items()}


def test_every_key_of_the_schema_is_documented() -> None:
    documented = set(re.findall(r"`([$a-z_.]+)`", page("docs/configuration.md")))
    for section, keys in schema_keys().items():
        assert {key for key in keys if not {key, path := f"{section}.{key}", path.partition(".")[2]} & documented} == set()


def test_every_key_of_the_documentation_is_in_the_schema() -> None:
    tables = re.findall(r"^\| key \|.*\n\|[-| ]+\n((?:\|.*\n)+)", page("docs/configuration.md"), re.MULTILINE)
    named = {name for table in tables for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    paths = {f".{section}.{key}" for section, keys in schema_keys().items() for key in keys}
    assert len(named) > 80 and {name for name in named if not any(path.endswith(f".{name}") for path in paths)} == set()


def test_bounds_and_defaults_are_those_of_the_documentation() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| `?([^|`]+)`? \| (.+) \|$", page("docs/configuration.md"), re.MULTILINE)
    documented = {name: (default, meaning) for name, default, meaning in rows}
    numbers = {
        path.lstrip("."): node
        for section, group in {"": SCHEMA, **CAPTURE, **properties()}.items()
        for path, node in ((f"{section}.{name}", node) for name, node in properties(group).items())
        if "minimum" in node and "default" in node
    }
    for path, node in numbers.items():
        default, meaning = documented[path]
        assert default == str(node["default"]) and f"{node['minimum']} to {node['maximum']}" in meaning, path


@pytest.mark.parametrize("variable", re.findall(r'^    "([a-z.]+(?:NAME)?)",$', page("src/exchange/template.rs"), re.MULTILINE))
def test_every_placeholder_is_known(variable: str) -> None:
    template = Draft4Validator(SCHEMA["definitions"]["template"])
    template.validate(f"a ${{{variable}}} b $ {{}}")
    assert not template.is_valid(f"${{{variable}") and not template.is_valid(f"${{x{variable}}}")


def shown(name: str) -> tuple[str, dict[str, str]]:
    """The name and the labels that Kong's plugin makes of a metric's name, as its wasmx.lua does it."""
    key = f"pw:retrohook:{name}"
    labels, end, position = {}, len(key), 0
    for entry in META["metrics"]["label_patterns"]:
        # ngx.re.match begins where the last match in the same context has ended.
        if match := re.compile(entry["pattern"]).search(key, position):
            position = match.end()
            labels[entry["label"]] = match[2]
            end = min(end, position - len(match[1]))
    return key[:end].replace(":", "_"), labels


def test_every_metric_with_a_reason_and_every_target_gets_a_label() -> None:
    names = set(re.findall(r'"(retrohook_\w+)"', page("src/metrics.rs")))
    for name in names:
        with_reason = re.match(r"(retrohook_(?:events_dropped|captures_refused|callouts))_(\w+)_total", name)
        for target in ["", "orders", "orders.fifo", "hooks.example.com:8080/in/a"]:
            kong_name, labels = shown(f"{name}.target.{target}" if target else name)
            assert kong_name == f"pw_retrohook_{with_reason[1] if with_reason else name}"
            assert labels.get("target", "") == target
            assert labels.get("reason", labels.get("outcome")) == (with_reason and with_reason[2])


def test_the_version_is_a_label() -> None:
    assert shown("retrohook_build_info.version.0.2.0") == ("pw_retrohook_retrohook_build_info", {"version": "0.2.0"})


TOPIC = "arn:aws:sns:us-east-1:123456789012:profile-events"
QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/profile-events"
ROUTE = {"method": "PUT", "matcher": "/profile"}


@pytest.mark.parametrize(
    "config, lacks",
    [
        ({"topic_arn": TOPIC, "queue_url": QUEUE, "routes": [ROUTE]}, "one target alone"),
        ({"topic_arn": TOPIC, "routes": [{**ROUTE, "topic_arn": TOPIC, "event_bus": "b"}]}, "one target alone"),
        ({"routes": [ROUTE]}, "topic_arn, queue_url, event_bus or webhook_url"),
        ({"topic_arn": f"{TOPIC}.fifo", "routes": [ROUTE]}, "message_group_id in each route to a FIFO topic or queue"),
        ({"routes": [{**ROUTE, "topic_arn": f"{TOPIC}.fifo"}]}, "message_group_id for a FIFO topic or queue"),
        ({"event_bus": "b", "routes": [ROUTE]}, "region"),
        ({"topic_arn": TOPIC}, "routes, or capture"),
    ],
)
def test_what_is_lacking_is_a_plain_sentence(config: dict[str, Any], lacks: str) -> None:
    # Kong lists what each branch of an `anyOf` wants, "property … is required" of a `required`, and of a `not` nothing of what
    # is inside: so this is all that it says.
    def causes(errors: Any) -> list[Any]:
        return [cause for error in errors for cause in (causes(error.context) if error.context else [error])]

    told = causes(VALIDATOR.iter_errors(config))
    assert {cause.validator for cause in told} == {"not", "required"}
    assert [name for cause in told if cause.validator == "required" for name in cause.validator_value if name.startswith(lacks)]
