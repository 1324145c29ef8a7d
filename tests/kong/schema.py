"""The schema in kong/retrohook.meta.json, read the way that Kong reads it."""

import json
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft4Validator
from rig import PROJECT

META: dict[str, Any] = json.loads((PROJECT / "kong" / "retrohook.meta.json").read_text())
SCHEMA: dict[str, Any] = META["config_schema"]
VALIDATOR = Draft4Validator(SCHEMA)

# What the validator inside Kong 3.9 implements and the schema uses; real Kong agreed with this test's verdicts on it.
KEYWORDS = frozenset(
    "$schema $ref definitions description default type enum properties patternProperties additionalProperties required "
    "maxProperties items minItems maxItems minLength maxLength pattern multipleOf minimum maximum allOf anyOf "
    "not".split()
)


def nodes(schema: dict[str, Any] = SCHEMA) -> Iterator[dict[str, Any]]:
    """Every schema inside the schema."""
    yield schema
    for keyword in ("properties", "patternProperties", "definitions"):
        for child in schema.get(keyword, {}).values():
            yield from nodes(child)
    for keyword in ("items", "additionalProperties", "not"):
        if isinstance(child := schema.get(keyword), dict):
            yield from nodes(child)
    for keyword in ("allOf", "anyOf"):
        for child in schema.get(keyword, []):
            yield from nodes(child)


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    """What `schema` refers to, or itself."""
    reference = schema.get("$ref")
    return SCHEMA["definitions"][reference.rpartition("/")[2]] if reference else schema


def properties(schema: dict[str, Any] = SCHEMA) -> dict[str, dict[str, Any]]:
    """What may stand in an object; nothing in what is none."""
    return {name: resolve(child) for name, child in schema.get("properties", {}).items()}
