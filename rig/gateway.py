"""What tests and demo ask of a gateway."""

import os
from collections.abc import Callable
from pathlib import Path

from . import PROJECT
from .envoy import Envoy
from .moto import Credentials

MISSION_PUT = ("PUT", "/mockbin/profile", {"content-type": "application/json"}, '{"foo":"bar"}')

# For endpoints that check no signature.
ANY_CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")

# The filter with a switch that makes it trap.
TRAPPING_WASM = PROJECT / "dist" / "fixtures" / "retrohook-trap.wasm"

StartGateway = Callable[..., Envoy]


def wasm_path() -> Path:
    """The built filter; a FileNotFoundError that says how to build it."""
    path = Path(os.environ.get("RETROHOOK_WASM", PROJECT / "dist" / "retrohook.wasm")).resolve()
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: build it with `make wasm`, or set RETROHOOK_WASM")
    return path
