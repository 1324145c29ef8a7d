"""A release of the built module, made once for the tests of this folder."""

from pathlib import Path

import pytest
from rig.gateway import wasm_path
from rig.release import make_release


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wasm_path()
    return make_release(tmp_path_factory.mktemp("release") / "dist")
