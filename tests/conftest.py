"""What the tests of more than one folder start."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rig.envoy import Envoy
from rig.gateway import TRAPPING_WASM, wasm_path
from rig.moto import Moto
from rig.profile_service import ProfileService
from rig.sns_sink import SnsSink
from rig.sqs_sink import SqsSink


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with Moto(tmp_path_factory.mktemp("moto") / "moto.log") as server:
        yield server


@pytest.fixture(scope="session")
def wasm() -> Path:
    try:
        return wasm_path()
    except FileNotFoundError as missing:
        pytest.exit(str(missing), returncode=2)


@pytest.fixture(scope="session")
def profile_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProfileService]:
    with ProfileService(tmp_path_factory.mktemp("service") / "service.log") as service:
        yield service


@pytest.fixture
def sink() -> Iterator[SnsSink]:
    with SnsSink() as server:
        yield server


@pytest.fixture
def queue() -> Iterator[SqsSink]:
    with SqsSink() as sink:
        yield sink


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Envoy]]:
    """Envoys that a test has started; at its end they stop, and none may have crashed or seen a trap."""
    envoys: list[Envoy] = []
    yield envoys
    for envoy in envoys:
        envoy.stop()
    for envoy in envoys:
        # One that others share goes on.
        assert envoy.exit_code in (0, None), f"it ended with {envoy.exit_code}:\n{envoy.log()[-4000:]}"
        configuration = [envoy.config, *tmp_path.glob("lds/*.json")]
        if not any(TRAPPING_WASM.name in path.read_text() for path in configuration):
            assert not envoy.has_trapped, envoy.log()[-4000:]
