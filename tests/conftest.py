"""What the tests of more than one folder start."""

from collections.abc import Iterator

import pytest
from rig.moto import Moto


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with Moto(tmp_path_factory.mktemp("moto") / "moto.log") as server:
        yield server
