"""A gateway that a control plane has configured, and AWS, which proves to be AWS and checks who signs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rig.certificates import Authority
from rig.credential_servers import ContainerEndpoint, Mint, WebIdentitySts
from rig.dns import NameServer
from rig.envoy import Envoy
from rig.envoy_config import cluster_at
from rig.http import Address
from rig.profile_service import ProfileService
from rig.sns_sink import SnsSink

from .generated import World, discover_clusters, write_clusters


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def world(tmp_path: Path, wasm: Path, profile_service: ProfileService, authority: Authority) -> Callable[..., World]:
    def around(aws: SnsSink, code: Path = wasm) -> World:
        return World(tmp_path, code, profile_service.address, aws.address, authority.certificate_path)

    return around


@pytest.fixture
def pod_identity(tmp_path: Path) -> Iterator["PodIdentity"]:
    agent = PodIdentity(tmp_path / "token")
    yield agent
    agent.stop()


class PodIdentity(ContainerEndpoint):
    """The agent of EKS Pod Identity: it gives credentials to whoever has the token, which is in a file of the pod."""

    path = "/v1/credentials"

    def __init__(self, token: Path):
        super().__init__(Mint())
        token.write_text(self.token)
        host, port = self.address
        self.environment = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{host}:{port}{self.path}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
            "AWS_REGION": "us-east-1",
        }


@pytest.fixture
def irsa(tmp_path: Path) -> Iterator["Irsa"]:
    with NameServer() as names:
        names.gone = True
        sts = Irsa(tmp_path, names.address)
        yield sts
        sts.stop()


class Irsa(WebIdentitySts):
    """STS, which takes the token that EKS has put into a file of the pod.

    Envoy makes a cluster of its own for it, of its real name. That is never found, and the cluster replaced, as a control plane could.
    """

    _CLUSTER = "sts_token_service_internal-us-east-1"

    def __init__(self, directory: Path, names: Address):
        super().__init__(Mint(), "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl")
        self._directory, self._names = directory, names
        token = directory / "web-identity-token"
        token.write_text(self.token)
        self.environment = {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/edge",
            "AWS_REGION": "us-east-1",
        }

    def start(self, config: Path) -> Envoy:
        """An Envoy that finds it."""
        discover_clusters(config, self._directory, self._names)
        envoy = Envoy(config, {**self.environment, "AWS_EC2_METADATA_DISABLED": "true"})
        write_clusters(self._directory, [cluster_at(self._CLUSTER, self.address)])
        return envoy
