"""docs/guarantees.md promises nothing without a test: every row names one, and every one that is named is there."""

import re

import pytest
from rig import PROJECT

PAGE = PROJECT / "docs" / "guarantees.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not re.fullmatch(r"[| -]+", line) and not line.endswith("| proof |")
]
PROOFS = sorted({proof for row in ROWS for proof in re.findall(r"`([^`]+)`", row[-1])})


def test_there_is_a_table() -> None:
    assert len(ROWS) > 15 and len(PROOFS) > 15


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_promise_has_a_proof(row: list[str]) -> None:
    assert re.fullmatch(r"`[\w/.]+::\w+`(, `[\w/.]+::\w+`)*", row[-1]), row


@pytest.mark.parametrize("proof", PROOFS)
def test_every_proof_is_a_test(proof: str) -> None:
    path, _, name = proof.partition("::")
    source = (PROJECT / path).read_text()
    attribute = r"#\[test\]\n(?:\s*#\[.*\]\n)*"
    pattern = rf"^def {name}\(" if path.endswith(".py") else rf"{attribute}\s*fn {name}\("
    assert name.startswith("test_") or path.endswith(".rs")
    assert re.search(pattern, source, re.MULTILINE), f"{path} has no test {name}"
