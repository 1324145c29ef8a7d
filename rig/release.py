"""A release of the built module, made by the script that makes real ones."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from . import PROJECT


def version() -> str:
    """The project's own."""
    (found,) = re.findall(r'^version = "(.+)"$', (PROJECT / "Cargo.toml").read_text(), re.MULTILINE)
    return found


def platform() -> str:
    """Of this machine, as the compiler calls it."""
    said = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return re.findall(r"^host: (.+)$", said, re.MULTILINE)[0]


def make_release(output: Path, environment: Mapping[str, str] = {}, umask: int = 0o022) -> Path:
    """With a stand-in of the command line program, which takes minutes to build."""
    program = output.with_suffix(".program")
    program.write_text("stands in for the program\n")
    subprocess.run(
        [sys.executable, PROJECT / "scripts" / "release.py", "--output", output, "--program", program],
        cwd=output.parent,
        env={**os.environ, **environment},
        umask=umask,
        check=True,
        timeout=120,
    )
    return output
