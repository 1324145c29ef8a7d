"""docs/log-lines.md has lines that the filter writes."""

import re

import pytest
from rig import PROJECT

PAGE = (PROJECT / "docs" / "log-lines.md").read_text()
LINES = re.findall(r"^\| `([^`]+)` \| (?:info|warning|error) \|", PAGE, re.MULTILINE)
# Rust's strings over several lines are one, and what is filled in is an ellipsis.
SOURCE = "\n".join(
    re.sub(r'\{\w*\}|", VERSION, "', "…", re.sub(r"\\\n\s*", "", path.read_text())) for path in sorted((PROJECT / "src").rglob("*.rs"))
)


def test_there_are_lines() -> None:
    assert len(LINES) > 20


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_written(line: str) -> None:
    fixed = [part for part in line.split("…") if part.strip(" ,:;[]")]
    pattern = r"[^\n\"]{0,40}?".join(map(re.escape, fixed))
    assert re.search(pattern, SOURCE), line
