"""Lines of a program with several threads, each written at once: `print` writes word by word, so that lines of two threads mix."""

import sys
from typing import TextIO


def say(*what: object) -> None:
    _write(sys.stdout, what)


def complain(*what: object) -> None:
    _write(sys.stderr, what)


def _write(stream: TextIO, what: tuple[object, ...]) -> None:
    stream.write(" ".join(repr(each) if isinstance(each, Exception) else str(each) for each in what) + "\n")
    stream.flush()
