"""scripts/check_prose.py finds what it is there for, and nothing in this project."""

import sys
from pathlib import Path

import pytest
from rig import PROJECT

sys.path.insert(0, str(PROJECT / "scripts"))
from check_prose import faults  # noqa: E402

GOOD = "# A page\n\nWhat it is for.\n\n| a | b |\n| --- | --- |\n| x | `anew` |\n\n```sh\necho anew\n```\n"


def found(folder: Path, name: str, text: str) -> list[str]:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return [fault.says for fault in faults(folder)]


def test_this_project_has_no_fault() -> None:
    assert [str(fault) for fault in faults(PROJECT)] == []


def test_code_tables_and_short_paragraphs_are_fine(tmp_path: Path) -> None:
    assert found(tmp_path, "docs/page.md", GOOD) == []
    assert found(tmp_path, "target/page.md", "anew") == [], "what is built is not looked at"


@pytest.mark.parametrize("word", ["anew", "reckons", "shall", "whoever", "but for", "told of", "in vain", "the same, but", "stands", "likewise", "as ever"])
def test_a_word_of_yesterday_is_found(tmp_path: Path, word: str) -> None:
    (says,) = found(tmp_path, "page.md", f"{GOOD}\nIt goes {word} here.\n")
    assert says.startswith(f'"{word.partition(",")[0]}": write ')


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("src/lib.rs", "//! Done anew.\n"),
        ("envoy/a.yaml", "a: 1\n# Done anew.\n"),
        ("kong/lua/a.lua", "-- Done anew.\n"),
        ("deploy/observability/alerts.yaml", "annotations:\n  description: Done anew.\n"),
    ],
)
def test_comments_are_looked_at(tmp_path: Path, name: str, text: str) -> None:
    assert found(tmp_path, name, text) == ['"anew": write again']


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A line.\n" * 7, "a paragraph of 7 lines"),
        ("A few words. " * 61 + "\n", "a paragraph of 7 lines"),
        (("word " * 20 + "\n") * 2 + "end.\n", "words in a sentence on average"),
        ("It is so that it is so that it is.\n", 'a chain of "so that"'),
    ],
)
def test_walls_are_found(tmp_path: Path, text: str, says: str) -> None:
    # The first sentence is as long as the last one, so that it does not hide it in the average.
    assert any(says in fault for fault in found(tmp_path, "page.md", "# A page\n\n" + text))


@pytest.mark.parametrize("text", ["# A page\n\n| a |\n| --- |\n", "# A page\n\n```sh\nls\n```\n\nWords.\n"])
def test_a_page_begins_with_what_it_is_for(tmp_path: Path, text: str) -> None:
    assert any("begins without" in fault for fault in found(tmp_path, "page.md", text))
