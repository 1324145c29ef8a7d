"""The schemas and the code that reads configurations, on configurations that nobody has written: valid ones with one thing changed.

Where the reader says yes, so do the schemas. Where it says no, they do too, unless it is for a reason that a schema has no words for.
"""

import json
import os
import random
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from rig import PROJECT

from .schema import VALIDATOR

VALID = {path.stem: json.loads(path.read_text()) for path in sorted((PROJECT / "tests" / "configs" / "valid").iterdir())}
VALIDATORS = {
    "Kong's": VALIDATOR,
    "that for editors": Draft202012Validator(json.loads((PROJECT / "docs" / "config.schema.json").read_text())),
}
# As many as a few seconds allow; another seed looks at others.
COUNT, SEED = 300, int(os.environ.get("RETROHOOK_SEED", "1"))

# Faults that the reader names and a schema of draft 4 cannot: of regular expressions, of two places
# that have to agree, of what a text stands for.
BEYOND = re.compile(
    "cannot be compiled|is not a named group|is not kept|is never used|refers to a vault|unknown placeholder|a closing `}`|"
    "is not a secret of this scheme|is no secret of Standard Webhooks|is not signed|has an HMAC in its answer|begins in the same way|"
    "is not the one that the target names|differs from an earlier route|has the URL of another route|are too many|"
    "those for every route included|is the name of another|is neither a list nor one placeholder|is larger than|is smaller than|"
    "the body of which|before the first"
)

ODD = [
    None, True, False, 0, 1, -1, 1.5, 100, 600, 10**9, "", " ", "a", "A", "*", "2xx", "${env.X}", "${x}", "${request.body}", "$", "a b", "é",
    "x" * 200, [], {}, ["a"], ["a", "a"], [""], [None], {"a": "b"}, {"exists": True}, {"matches": "a"}, "/a", "/a/~2", "http://a",
    "https://a.b/c", "https://a.b:443", "host:80", "1.2.3.4:80", "[::1]:80", "us-east-1", "arn:aws:sns:us-east-1:123456789012:t",
    "arn:aws:sns:us-east-1:123456789012:t.fifo", "https://sqs.us-east-1.amazonaws.com/123456789012/q", "default", "PUT", "put",
    "text/*", "on", "off", "auto", "hmac", "github", "sha256", "hex", "before_response", "cloudevents", "Number",
]  # fmt: skip

Path_ = tuple[str | int, ...]


def places(value: Any, place: Path_ = ()) -> Iterator[Path_]:
    if place:
        yield place
    for key, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(child, (*place, key))


def at(value: Any, place: Path_) -> Any:
    for key in place:
        value = value[key]
    return value


def elsewhere() -> dict[str, list[Any]]:
    """Values of keys, wherever they stand."""
    found = defaultdict(list)
    for config in VALID.values():
        for place in places(config):
            if isinstance(place[-1], str) and place[-1] != "$schema":
                found[place[-1]].append(at(config, place))
    return found


def changed_text(dice: random.Random, text: str) -> str:
    # No line break at the end: Python's and Kong's `$` match before one, and the reader and editors
    # do not.
    position = dice.randrange(len(text) + 1)
    return dice.choice([
        text[:position] + dice.choice("aZ0-_.:/*#?$ {}[]()+@,;=%&~\"'\\\té") + text[position:],
        text[:position] + text[position + 1 :], text[:position], text.upper(), text.swapcase(), f" {text}", f"{text} ", f"{text}.fifo",
        f"{text}/", text + "a" * 300, f"{text}:80",
    ])  # fmt: skip


def changed(dice: random.Random, config: Any, values: dict[str, list[Any]]) -> Any:
    config = json.loads(json.dumps(config))
    place = dice.choice([place for place in places(config) if place != ("$schema",)])
    parent, old = at(config, place[:-1]), at(config, place)
    kind = dice.randrange(6)
    if kind == 0 and isinstance(parent, dict):
        del parent[place[-1]]
    elif kind in (1, 2) and isinstance(old, str):
        parent[place[-1]] = changed_text(dice, old)
    elif kind == 3 and place[-1] in values:
        parent[place[-1]] = dice.choice(values[place[-1]])
    elif kind == 4 and isinstance(parent, dict):
        key = dice.choice(sorted(values))
        parent[key] = dice.choice(values[key])
    else:
        parent[place[-1]] = dice.choice(ODD)
    return config


def without_nulls(value: Any) -> Any:
    """A key with null is as good as none to the reader, even one that it does not know."""
    if isinstance(value, dict):
        return {key: without_nulls(child) for key, child in value.items() if child is not None}
    return [without_nulls(child) for child in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def program() -> Path:
    subprocess.run(["cargo", "build", "--locked", "--quiet", "--package", "retrohook-cli"], cwd=PROJECT, check=True, timeout=600)
    return PROJECT / "target" / "debug" / "retrohook"


def test_the_schemas_take_what_the_reader_takes_and_refuse_what_it_refuses(program: Path, tmp_path: Path) -> None:
    dice, values = random.Random(SEED), elsewhere()
    configs = {f"{number}.json": changed(dice, VALID[dice.choice(sorted(VALID))], values) for number in range(COUNT)}
    for name, config in configs.items():
        (tmp_path / name).write_text(json.dumps(config))
    done = subprocess.run([program, "check", "--host", "envoy", "--json", *configs], cwd=tmp_path, env={}, capture_output=True, timeout=60)
    errors = {
        report["file"]: [finding for finding in report["findings"] if finding["severity"] == "error"] for report in json.loads(done.stdout)
    }
    assert errors.keys() == configs.keys() and sum(map(bool, errors.values())) > COUNT / 4, "some are refused, and some are not"
    disagreements = []
    for name, config in configs.items():
        is_beyond = any(BEYOND.search(finding["message"]) for finding in errors[name])
        for schema, validator in VALIDATORS.items():
            if not errors[name] and not validator.is_valid(without_nulls(config)):
                fault = next(validator.iter_errors(without_nulls(config)))
                disagreements.append(f"{schema} schema alone refuses {json.dumps(config)}: {fault.message:.200}")
            if errors[name] and not is_beyond and validator.is_valid(config):
                disagreements.append(f"{schema} schema alone takes {json.dumps(config)}: {errors[name]}")
    assert disagreements == []
