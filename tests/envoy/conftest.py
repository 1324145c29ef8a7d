"""The built wasm in real Envoy: what the tests of this folder start, and how it ends."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rig.envoy import BINARY, Envoy
from rig.envoy_config import EXAMPLES, EnvoyConfig
from rig.gateway import ANY_CREDENTIALS, StartGateway
from rig.http import Address
from rig.moto import Credentials
from rig.profile_service import ProfileService
from rig.shared_envoy import SharedEnvoy
from rig.sqs_sink import SqsSink

StartEnvoy = Callable[..., Envoy]


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
def binary() -> Path:
    """The Envoy that is started; test_versions.py has others."""
    return BINARY


@pytest.fixture(scope="session")
def shared_envoy(wasm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedEnvoy]:
    shared = SharedEnvoy(tmp_path_factory.mktemp("shared"), wasm)
    yield shared
    shared.stop()


@pytest.fixture
def start_envoy(
    shared_envoy: SharedEnvoy, binary: Path, tmp_path: Path, started: list[Envoy], request: pytest.FixtureRequest
) -> StartEnvoy:
    """Starts gateways: in the Envoy that tests share, or in one of their own where they need that."""
    may_share = binary == BINARY and request.node.get_closest_marker("own_process") is None

    def start(
        config: EnvoyConfig, environment: dict[str, str], workers: int = 1, arguments: Sequence[str] = ()
    ) -> Envoy:
        path = config.write(tmp_path / f"envoy-{len(started)}.yaml")
        if may_share and workers == 1 and not arguments and shared_envoy.has_room_for(config):
            envoy: Envoy = shared_envoy.take_in(config, path, environment)
        else:
            envoy = Envoy(path, environment, workers, arguments, binary)
        started.append(envoy)
        return envoy

    return start


@pytest.fixture
def start_gateway(config: Callable[[str], EnvoyConfig], start_envoy: StartEnvoy) -> StartGateway:
    """Starts Envoys with a configuration of `EXAMPLES`."""

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
        return start_envoy(document, keys.environment(), workers, arguments)

    return start


@pytest.fixture
def start_capture(wasm: Path, start_envoy: StartEnvoy) -> Callable[..., Envoy]:
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
        return start_envoy(config, environment or ANY_CREDENTIALS.environment())

    return start
