"""deploy/ecs: ECS takes the task definition, and its Envoy publishes and captures as the task's role, and waits at its end."""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
import yaml
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.validate import ParamValidator
from rig import LOOPBACK, PROJECT
from rig.certificates import Authority
from rig.credential_servers import ContainerEndpoint, Mint
from rig.envoy import BINARY
from rig.envoy_config import cluster_at, mappings
from rig.http import Address, send, unused_address
from rig.process import ServerProcess
from rig.signatures import is_right
from rig.sns_answers import acknowledge, error
from rig.sns_sink import SnsSink
from rig.sqs_sink import SqsSink
from rig.waiting import wait_for
from rig.webhook_stage import SECRET, signed

from .generated import World

ECS = PROJECT / "deploy" / "ecs"
DEFINITION: dict[str, Any] = json.loads((ECS / "task-definition.json").read_text())
CONFIG: dict[str, Any] = yaml.safe_load((ECS / "envoy.yaml").read_text())
SNS, SQS, AGENT = "sns.us-east-1.amazonaws.com:443", "sqs.us-east-1.amazonaws.com:443", "169.254.170.2:80"
PUT = ("PUT", "/profile", {"content-type": "application/json"}, '{"foo":"bar"}')


def container(name: str) -> dict[str, Any]:
    (found,) = (each for each in DEFINITION["containerDefinitions"] if each["name"] == name)
    return found


def not_enumerated(value: Any, shape: Shape) -> Iterator[str]:
    """Texts that are none of those which the model lists."""
    if isinstance(shape, StructureShape):
        for name, child in value.items():
            yield from not_enumerated(child, shape.members[name])
    elif isinstance(shape, ListShape):
        for child in value:
            yield from not_enumerated(child, shape.member)
    elif isinstance(shape, MapShape):
        for child in value.values():
            yield from not_enumerated(child, shape.value)
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield value


def test_ecs_s_model_takes_the_definition() -> None:
    shape = botocore.session.get_session().get_service_model("ecs").operation_model("RegisterTaskDefinition").input_shape
    report = ParamValidator().validate(DEFINITION, shape)
    assert not report.has_errors(), report.generate_report()
    assert list(not_enumerated(DEFINITION, shape)) == []
    spoilt = {**DEFINITION, "networkMode": "awsvcp", "memroy": "1024"}
    assert ParamValidator().validate(spoilt, shape).has_errors()
    del spoilt["memroy"]
    assert list(not_enumerated(spoilt, shape)) == ["awsvcp"]


def test_the_files_fit_together() -> None:
    envoy = container("envoy")
    (listener,) = CONFIG["static_resources"]["listeners"]
    assert envoy["portMappings"][0]["containerPort"] == listener["address"]["socket_address"]["port_value"]
    assert str(CONFIG["admin"]["address"]["socket_address"]["port_value"]) in envoy["healthCheck"]["command"][1]
    app = next(each for each in CONFIG["static_resources"]["clusters"] if each["name"] == "app")
    (address,) = (each["socket_address"] for each in mappings(app) if "socket_address" in each)
    assert container("app")["environment"] == [{"name": "PORT", "value": str(address["port_value"])}]
    (variables,) = (each["host_env_keys"] for each in mappings(CONFIG) if "host_env_keys" in each)
    assert variables == ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", *(each["name"] for each in envoy["secrets"])]
    dockerfile = (ECS / "Dockerfile").read_text()
    assert f"create-log-group --log-group-name {envoy['logConfiguration']['options']['awslogs-group']}\n" in (ECS / "README.md").read_text()
    (seconds,) = re.findall(r'^ENTRYPOINT \["bash", "/etc/envoy/envoy-with-drain.sh", "(\d+)", "-c", "/etc/envoy/envoy.yaml"\]$', dockerfile, re.MULTILINE)
    assert int(seconds) + 10 < envoy["stopTimeout"] <= 120, "Fargate's longest"
    # The one that depends on the other is stopped first.
    assert [each["containerName"] for each in envoy["dependsOn"]] == ["app"]


def test_the_wait_at_the_end_is_that_of_the_documentation() -> None:
    page = (PROJECT / "docs" / "guides" / "production.md").read_text()
    (documented,) = re.findall(r"```sh\n# preStop\n(.*?)```", page, re.DOTALL)
    script = {line.strip() for line in (ECS / "envoy-with-drain.sh").read_text().splitlines()}
    assert {line for line in documented.splitlines() if not line.startswith("admin=")} <= script


class Task:
    """The image's entry point, with ports of this machine."""

    def __init__(self, world: World, aws: dict[str, Address], seconds: int):
        self.agent = ContainerEndpoint(Mint())
        # Nobody but the task reaches the agent, which asks for no token.
        self.agent.token = None  # type: ignore[assignment]
        document = yaml.safe_load((ECS / "envoy.yaml").read_text())
        addresses = {"app": world.service, AGENT: self.agent.address, **aws}
        for cluster in document["static_resources"]["clusters"]:
            address = addresses.get(cluster["name"], (LOOPBACK, 9))
            cluster.update({key: value for key, value in cluster_at(cluster["name"], address).items() if key != "name"})
        for trusted in (each for each in mappings(document) if "trusted_ca" in each):
            trusted["trusted_ca"] = {"filename": str(world.authority)}
        (plugin,) = (each for each in mappings(document) if "vm_config" in each)
        plugin["vm_config"]["code"]["local"]["filename"] = str(world.wasm)
        (listener,) = document["static_resources"]["listeners"]
        listener["address"]["socket_address"] = {"address": LOOPBACK, "port_value": 0}
        self.admin = unused_address()
        document["admin"]["address"]["socket_address"] = {"address": LOOPBACK, "port_value": self.admin[1]}
        config = world.directory / "envoy.yaml"
        config.write_text(yaml.safe_dump(document, sort_keys=False))
        self.process = ServerProcess(
            ["bash", str(ECS / "envoy-with-drain.sh"), str(seconds), "-c", str(config),
             "--disable-hot-restart", "-l", "warning", "--concurrency", "1"],
            world.directory / "envoy.log",
            {
                "PATH": f"{BINARY.parent}:{os.environ['PATH']}",
                "ENVOY_ADMIN": f"http://{LOOPBACK}:{self.admin[1]}",
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": self.agent.path,
                "STRIPE_SECRET": SECRET,
            },
        )  # fmt: skip
        self.process.wait_for_page(self.admin, "/ready")

    @property
    def gateway(self) -> Address:
        statuses = json.loads(send(self.admin, "GET", "/listeners?format=json").body)["listener_statuses"]
        address = statuses[0]["local_address"]["socket_address"]
        return address["address"], address["port_value"]

    def terminate(self) -> None:
        """What ECS does first."""
        os.kill(self.process.pid, signal.SIGTERM)

    def __enter__(self) -> "Task":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()
        self.agent.stop()


def test_it_publishes_and_captures_as_the_role_of_the_task(world: Callable[..., World], authority: Authority) -> None:
    host = SNS.partition(":")[0]
    with SnsSink(authority.server_context(host)) as sns, SqsSink(authority.server_context(SQS.partition(":")[0])) as sqs:
        with Task(world(sns), {SNS: sns.address, SQS: sqs.address}, 1) as task:
            assert send(task.gateway, *PUT).status == 200
            sns.wait_for_events(1)
            assert is_right(sns.requests[-1], task.agent.mint.newest, "sns")
            body = '{"id": "evt_1"}'
            assert send(task.gateway, "POST", "/webhook", signed(body), body).status == 200
            assert is_right(sqs.requests[-1], task.agent.mint.newest, "sqs")
            assert sqs.requests[-1].attributes["verified"] == "true"
            assert send(task.gateway, "POST", "/WebHook", signed(body), body).status == 503
            assert send(task.gateway, "GET", "/healthcheck").status == 200
            task.terminate()
            assert task.process.wait_for_exit() == 0
            assert "0 event(s) left" in task.process.log()


@pytest.mark.parametrize("mended", [True, False])
def test_the_end_of_a_task_waits_for_what_is_queued(world: Callable[..., World], authority: Authority, mended: bool) -> None:
    with SnsSink(authority.server_context(SNS.partition(":")[0])) as sns:
        sns.answers = error(500)
        with Task(world(sns), {SNS: sns.address}, 30 if mended else 2) as task:
            for _ in range(3):
                assert send(task.gateway, *PUT).status == 200
            task.terminate()
            wait_for(lambda: send(task.gateway, "GET", "/healthcheck").status == 503, "the load balancer to be told")
            if mended:
                sns.answers = acknowledge
            assert task.process.wait_for_exit() == 0
            log = task.process.log()
            assert len(sns.stored) == (3 if mended else 0)
            assert f"{0 if mended else 3} event(s) left" in log
            assert log.count("retrohook-dead-letter {") == (0 if mended else 3)
