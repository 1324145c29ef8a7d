"""Fails unless what people read is plain English: python3 check_prose.py [ROOT]

Looks at every page (*.md), at the comments of the files that operators copy, and at the comments of the Rust code. Pages also keep
to a form: they begin with what they are for, no paragraph has more than six lines, and sentences have fewer than 25 words on average.
It knows words and lengths, and nothing of grammar or of facts.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MAX_LINES = 6
COLUMNS = 130
MAX_WORDS = 25

# What nobody writes today, and what to write. The first list is for everything, the second for what operators read.
_WORDS = {
    r"reckon\w*": "count, expect",
    r"anew": "again",
    r"shall": "must, will",
    r"who(?:so)?ever": "anyone who, or name them",
    r"(?:to |of |by |for )?whom": "turn the sentence round",
    r"but for": "except for",
    r"told of": "learns about",
    r"in vain": "without success",
    r"(?<!all )the same(?=[.,;:)])": "name it",
}
_WORDS_FOR_OPERATORS = {
    r"stands?(?![-\w])": "is, belongs",
    r"in the place of|in place of": "instead of",
    r"upon": "on",
    r"of its own accord": "by itself",
    r"one's own": "your own",
    r"mend(?:s|ed|ing)?": "fix, correct, a remedy",
    r"beforehand|thereof|therein|hence|hitherto|whilst|amongst|lest": "a word of today",
    # Translated rather than written.
    r"likewise|(?<!look )alike": "in the same way, both, also",
    r"all else": "everything else",
    r"for ever\b": "forever",
    r"as ever\b": "as before, as usual",
    r"sound(?:s|ed)?(?= when|[.,;])": "fire, fires (an alert)",
    r"which is (?=[^.|]{1,40} else[.|])": "otherwise",
    r"so it is with": "the same is true of",
    r"nothing warned of": "there is no warning",
    r"ha(?:s|ve) (?:a|no) say": "can (not) change it",
    r"(?<!there )(?:is|are|was|were) no (?:valid )?(?:JSON|URL|text|webhook|event|challenge|failure|success|configuration|letter|PUT)":
        "is not a, is not",
    r"may (?:not )?(?=_)": "is (not) allowed to, lacks",
}
_SKIPPED = {"target", "dist", ".venv", ".git", ".run", "node_modules", ".pytest_cache"}
_COPIED = ("envoy", "kong", "deploy", "examples")
_COMMENT_MARKS = {".yaml": "#", ".yml": "#", ".conf": "#", ".sh": "#", ".py": ("#", '"""'), ".lua": "--"}


class Fault(NamedTuple):
    path: Path
    line: int
    says: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.says}"


def _files(root: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        if path.name in _SKIPPED:
            continue
        if path.is_dir():
            yield from _files(path, suffixes)
        elif path.suffix in suffixes:
            yield path


def _words(path: Path, lines: list[tuple[int, str]], words: dict[str, str]) -> Iterator[Fault]:
    pattern = re.compile("|".join(rf"(?P<w{n}>\b(?:{word}))" for n, word in enumerate(words)), re.IGNORECASE)
    better = list(words.values())
    for number, line in lines:
        for match in pattern.finditer(re.sub(r"`[^`]*`|\]\([^)]*\)", "_", line)):
            yield Fault(path, number, f'"{match[0]}": write {better[int(match.lastgroup[1:])]}')


def _comments(path: Path, mark: str | tuple[str, ...]) -> list[tuple[int, str]]:
    """Comments, and the texts of alerts."""
    lines = enumerate(path.read_text().splitlines(), 1)
    read = (*((mark,) if isinstance(mark, str) else mark), "summary:", "description:")
    return [(number, line.strip()) for number, line in lines if line.lstrip().startswith(read)]


class Page:
    """A page's prose: its paragraphs and list items, without code, tables and headings."""

    def __init__(self, text: str) -> None:
        self.lines: list[tuple[int, str]] = []
        self.paragraphs: list[list[tuple[int, str]]] = []
        self.begins_with_prose = False
        fenced, new, before_content = False, True, True
        for number, line in enumerate(text.splitlines(), 1):
            is_fence = line.lstrip().startswith("```")
            fenced ^= is_fence
            if is_fence or fenced or not line.strip():
                new, before_content = True, before_content and not fenced
                continue
            self.lines.append((number, line))
            if line.startswith("#"):
                new = True
                continue
            if re.match(r"\s*\|", line) or (new and line.startswith("    ")):
                new, before_content = True, False
                continue
            if new or re.match(r"\s*(?:[-*]|\d+\.)\s", line):
                self.begins_with_prose |= before_content
                self.paragraphs.append([])
            new, before_content = False, False
            self.paragraphs[-1].append((number, line))

    def sentence_words(self) -> list[int]:
        counts = []
        for paragraph in self.paragraphs:
            text = " ".join(line.strip() for _, line in paragraph)
            text = re.sub(r"`[^`]*`", "code", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text))
            sentences = re.split(r"(?<=[.!?])[\"')*]*\s+(?=[\"'(*]*[A-Z0-9a-z])", text)
            counts += [len(sentence.split()) for sentence in sentences if sentence.split()]
        return counts


def _page(path: Path, text: str) -> Iterator[Fault]:
    page = Page(text)
    yield from _words(path, page.lines, _WORDS | _WORDS_FOR_OPERATORS)
    if not page.begins_with_prose:
        yield Fault(path, 1, "begins without a sentence that says what the page is for")
    for paragraph in page.paragraphs:
        number = paragraph[0][0]
        text = " ".join(line.strip() for _, line in paragraph)
        if (lines := max(len(paragraph), -(-len(text) // COLUMNS))) > MAX_LINES:
            yield Fault(path, number, f"a paragraph of {lines} lines: split it, or make it a table")
        for sentence in re.split(r"(?<=[.!?;:])\s", text):
            if sentence.lower().count("so that") > 1:
                yield Fault(path, number, 'a chain of "so that": make two sentences')
    counts = page.sentence_words()
    if counts and sum(counts) / len(counts) >= MAX_WORDS:
        yield Fault(path, 1, f"{sum(counts) / len(counts):.1f} words in a sentence on average: shorten some")


def faults(root: Path) -> list[Fault]:
    found = []
    for path in _files(root, (".md",)):
        found += _page(path, path.read_text())
    for folder in filter(Path.is_dir, (root / name for name in _COPIED)):
        for path in _files(folder, tuple(_COMMENT_MARKS)):
            found += _words(path, _comments(path, _COMMENT_MARKS[path.suffix]), _WORDS | _WORDS_FOR_OPERATORS)
    for path in _files(root, (".rs",)):
        found += _words(path, _comments(path, "//"), _WORDS)
    return found


if __name__ == "__main__":
    all_faults = faults(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1])
    for fault in all_faults:
        print(fault)
    sys.exit(bool(all_faults))
