"""The commands of examples/README.md: the scripts understand them."""

import argparse
import re
import runpy
import shlex

import pytest
from rig import PROJECT

EXAMPLES = PROJECT / "examples"
README = (EXAMPLES / "README.md").read_text()
COMMANDS = re.findall(r"^    python (.+)$", README.replace("\\\n", ""), re.MULTILINE)


class UnderstoodError(Exception):
    """What a script would do then is for others to test."""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script, *arguments = shlex.split(command)
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser) -> None:
        parse(parser, arguments)
        raise UnderstoodError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    with pytest.raises(UnderstoodError):
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")


def test_there_is_a_command_for_each_script_that_has_options() -> None:
    with_options = {path.name for path in EXAMPLES.glob("*.py") if "ArgumentParser(" in path.read_text()}
    assert {command.split()[0] for command in COMMANDS} == with_options


def test_every_option_that_is_named_is_there() -> None:
    scripts = "".join(path.read_text() for path in EXAMPLES.glob("*.py"))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", README))
    assert named and named <= set(re.findall(r'"(--[a-z-]+)"', scripts))
