"""Lines of several threads are whole."""

import sys
from collections.abc import Callable
from io import StringIO

import pytest
from log_line import complain, say


class Terminal(StringIO):
    """Keeps what is written at once apart."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def write(self, text: str) -> int:
        self.parts.append(text)
        return super().write(text)


@pytest.mark.parametrize(("write", "stream"), [(say, "stdout"), (complain, "stderr")])
def test_a_line_is_written_at_once(monkeypatch: pytest.MonkeyPatch, write: Callable[..., None], stream: str) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, stream, terminal)
    write("not handled:", 7, ValueError("why"))
    write()
    assert terminal.parts == ["not handled: 7 ValueError('why')\n", "\n"]
