"""The built wasm in real Envoy: what the tests of this folder start, and how it ends."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rig.envoy import Envoy
from rig.envoy_config import EXAMPLES, EnvoyConfig
from rig.gateway import ANY_CREDENTIALS, TRAPPING_WASM, StartGateway, wasm_path
from rig.http import Address
from rig.moto import Credentials
from rig.profile_service import ProfileService
from rig.sns_sink import SnsSink
from rig.sqs_sink import SqsSink


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


@pytest.fixture(params=sorted(EXAMPLES))
def way(request: pytest.FixtureRequest) -> str:
    """Each of the two ways into Envoy."""
    return request.param


@pytest.fixture
def config(wasm: Path, profile_service: ProfileService) -> Callable[[str], EnvoyConfig]:
    """A shipped configuration, aimed at the stand-in service."""

    def load(way: str) -> EnvoyConfig:
        config = EnvoyConfig(way, wasm)
        config.aim_service(profile_service.address)
        return config

    return load


@pytest.fixture
def start_gateway(config: Callable[[str], EnvoyConfig], tmp_path: Path) -> Iterator[StartGateway]:
    """Starts Envoys; at the end of the test they stop, and none may have seen a trap."""
    started: list[Envoy] = []

    def start(
        way: str,
        aws: Address,
        keys: Credentials = ANY_CREDENTIALS,
        trusted_ca: Path | None = None,
        adjust: Callable[[EnvoyConfig], None] = lambda config: None,
        workers: int = 1,
        arguments: Sequence[str] = (),
        **settings: Any,
    ) -> Envoy:
        document = config(way)
        document.aim_aws(aws, trusted_ca)
        document.configure(**settings)
        adjust(document)
        path = document.write(tmp_path / f"envoy-{len(started)}.yaml")
        started.append(Envoy(path, keys.environment(), workers, arguments))
        return started[-1]

    yield start
    for envoy in started:
        envoy.stop()
    for envoy in started:
        log = envoy.log()
        configuration = [envoy.config, *tmp_path.glob("lds/*.json")]
        if any(TRAPPING_WASM.name in path.read_text() for path in configuration):
            continue
        assert "panicked" not in log and "Uncaught RuntimeError" not in log, log[-4000:]


@pytest.fixture
def queue() -> Iterator[SqsSink]:
    with SqsSink() as sink:
        yield sink


@pytest.fixture
def started() -> Iterator[list[Envoy]]:
    """Envoys that a test has started; at its end they stop, and none may have seen a trap."""
    envoys: list[Envoy] = []
    yield envoys
    for envoy in envoys:
        if TRAPPING_WASM.name not in envoy.config.read_text():
            envoy.assert_no_trap()
        envoy.stop()


@pytest.fixture
def start_capture(wasm: Path, tmp_path: Path, started: list[Envoy]) -> Callable[..., Envoy]:
    """Starts Envoys with envoy/capture.yaml."""

    def start(
        queue: SqsSink,
        adjust: Callable[[EnvoyConfig], None] = lambda config: None,
        capture: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
        **settings: Any,
    ) -> Envoy:
        config = EnvoyConfig("capture", wasm)
        config.aim_queue(queue.address, queue.url)
        config.configure_capture(**(capture or {}))
        config.configure(**settings)
        adjust(config)
        path = config.write(tmp_path / f"envoy-{len(started)}.yaml")
        started.append(Envoy(path, environment or ANY_CREDENTIALS.environment()))
        return started[-1]

    return start
