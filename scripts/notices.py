"""The notices that go with a release: the licence texts of the crates in it, out of the sources that it was built from.

A text that many crates have stands once, with their names before it. A crate without a text is an error, unless a person has
written its notice: a licence that asks to be shown is never left out.
"""

import re
from collections import defaultdict
from pathlib import Path

from linked_crates import Crate

# Rust's standard library, and crates whose packages have no text.
BY_HAND = Path(__file__).with_name("notices-by-hand.txt")

_RULE = "=" * 100
_FILES = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)([-_.].*)?", re.IGNORECASE)

_HEAD = """\
Third-party notices of Retrohook {version}

Retrohook is under Apache-2.0 (the file LICENSE of the project). It is linked with the crates below, and with Rust's standard
library. Each crate is named with its licence; its texts follow, a text that several have once. Where a licence
gives a choice ("OR"), Retrohook takes Apache-2.0 if it is offered, else MIT.
"""


def notices(own: Crate, crates: list[Crate]) -> str:
    """The whole file."""
    by_hand = BY_HAND.read_text()
    named = {name for line in re.findall(r"^(.+), https:", by_hand, re.MULTILINE) for name in line.split(" and ")}
    texts: dict[str, list[str]] = defaultdict(list)
    for crate in crates:
        found = texts_of(crate)
        if not found and crate.name not in named:
            raise ValueError(f"{crate.name} {crate.version} has no licence text in {crate.folder}, and none in {BY_HAND}")
        for text in found:
            texts[text].append(f"{crate.name} {crate.version}")
    table = "\n".join(f"  {crate.name} {crate.version}: {crate.licence}" for crate in crates)
    parts = [f"{_HEAD.format(version=own.version)}\n{table}\n", by_hand]
    parts += [f"{_wrapped(names)}\n\n{text}\n" for text, names in texts.items()]
    return f"\n{_RULE}\n\n".join(parts)


def texts_of(crate: Crate) -> list[str]:
    """The texts beside the crate's manifest."""
    files = sorted(path for path in crate.folder.iterdir() if path.is_file() and _FILES.fullmatch(path.name))
    return [_normal(path.read_text()) for path in files]


def _normal(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.expandtabs().strip("\n\f").splitlines())


def _wrapped(names: list[str]) -> str:
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) > 98:
            lines.append("")
        lines[-1] += f"{', ' if lines[-1] else ''}{name}"
    return ",\n".join(lines)
