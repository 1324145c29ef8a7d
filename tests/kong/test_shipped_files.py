"""What an operator copies from kong/: it parses, it fits together, and the filter takes its configuration."""

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from rig import PROJECT
from rig.moto import REGION, Moto

from .schema import VALIDATOR

KONG = PROJECT / "kong"
DECLARATIVE = ["kong.yml", "demo/kong.yml"]
VALID = [json.loads(path.read_text()) for path in (PROJECT / "tests" / "configs" / "valid").iterdir()]


def load(name: str) -> Any:
    return yaml.safe_load((KONG / name).read_text())


def settings() -> dict[str, str]:
    lines = (line.partition("=") for line in (KONG / "kong.conf").read_text().splitlines() if not line.startswith("#"))
    return {name.strip(): value.strip() for name, separator, value in lines if separator}


def copies(dockerfile: str) -> Iterator[tuple[str, str]]:
    """What a Dockerfile copies out of the project, and to where."""
    for line in re.findall(r"^COPY (.+)$", (KONG / dockerfile).read_text(), re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            yield source, target + Path(source).name if target.endswith("/") else target


def filters_in(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if node.get("name") == "retrohook":
            yield node["config"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from filters_in(child)


def assert_accepted(config: dict[str, Any]) -> None:
    VALIDATOR.validate(config)
    # The filter's own tests have it take every configuration that is in that folder.
    assert config in VALID, "put it into tests/configs/valid as well"


@pytest.mark.parametrize("name", DECLARATIVE)
def test_the_declarative_configurations_have_a_service_with_retrohook(name: str) -> None:
    document = load(name)
    assert document["_format_version"] == "3.0"
    (service,) = document["services"]
    assert service["routes"] == [{"name": "mockbin", "paths": ["/mockbin"], "strip_path": True}]
    (config,) = filters_in(service["filter_chains"])
    assert_accepted(config)


def test_the_chain_for_a_webhook_is_accepted_with_the_variables_that_it_names() -> None:
    (config,) = filters_in(load("webhook-target.yml"))
    VALIDATOR.validate(config)
    text = json.dumps(config).replace("${env.HOOK_SECRET}", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").replace("${env.HOOK_TOKEN}", "token")
    assert "${" not in text
    assert_accepted(json.loads(text))


def test_what_is_captured_has_no_upstream_and_fits_into_the_memory_of_nginx() -> None:
    (service,) = load("capture.yml")["services"]
    assert service["url"] == "http://127.0.0.1:9"
    (route,) = service["routes"]
    assert (route["paths"], route["methods"]) == (["/webhook"], ["POST"]), "Kong answers another method itself"
    (config,) = filters_in(service)
    assert_accepted(config)
    (capture,) = config["capture"]
    kilobytes = settings()["nginx_http_client_body_buffer_size"].removesuffix("k")
    assert capture["max_body_bytes"] <= int(kilobytes) * 1024


def test_the_two_differ_only_in_addresses() -> None:
    shipped, demo = (load(name) for name in DECLARATIVE)
    for document in (shipped, demo):
        (service,) = document["services"]
        del service["url"]
        config = next(filters_in(service))
        for key in ("endpoint", "upstream"):
            config.pop(key, None)
    assert shipped == demo


def test_the_calls_of_the_admin_api_carry_configurations_that_are_accepted() -> None:
    bodies = re.findall(r"-d '\n(\{.*?\n\})'", (KONG / "admin-api.md").read_text(), re.DOTALL)
    configs = [config for body in bodies for config in filters_in(json.loads(body))]
    assert len(configs) == 3
    for config in configs:
        assert_accepted(config)


def test_the_senders_of_the_documentation_are_accepted() -> None:
    (block,) = re.findall(r"```yaml\n(services:\n  - name: senders\n.*?)```", (PROJECT / "docs" / "kong.md").read_text(), re.DOTALL)
    senders = list(filters_in(yaml.safe_load(block)))
    assert len(senders) == 3
    for config in senders:
        assert_accepted(config)


def test_the_commands_of_the_documentation_fit_the_settings() -> None:
    page = (PROJECT / "docs" / "kong.md").read_text()
    installed = dict(re.findall(r"install -D -m 644 (\S+) (\S+)", page))
    folder = settings()["wasm_filters_path"]
    assert installed == {
        "dist/retrohook.wasm": f"{folder}/retrohook.wasm",
        "kong/retrohook.meta.json": f"{folder}/retrohook.meta.json",
        "kong/retrohook-aws.conf": settings()["nginx_http_include"],
        # Where Kong looks for its settings, and where these say that the entities are.
        "kong/kong.conf": "/etc/kong/kong.conf",
        "kong/kong.yml": settings()["declarative_config"],
    }
    assert f"http://{settings()['status_listen']}/metrics" in page
    (memory,) = re.findall(r"^nginx_wasm_shm_kv_retrohook = (\S+)$", page, re.MULTILINE)
    assert memory == settings()["nginx_wasm_shm_kv_retrohook"]
    assert (PROJECT / re.search(r"docker compose -f (\S+) up", page)[1]).is_file()


def test_the_image_has_its_files_where_the_settings_look() -> None:
    copied = dict(copies("Dockerfile"))
    targets = set(copied.values())
    assert {target for target in targets if target.startswith(settings()["wasm_filters_path"])} == {
        "/etc/kong/wasm/retrohook.wasm",
        "/etc/kong/wasm/retrohook.meta.json",
    }
    assert settings()["declarative_config"] in targets and "/etc/kong/kong.conf" in targets
    assert re.search(r"^FROM kong:3\.9\.\d+$", (KONG / "Dockerfile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "demo/Dockerfile"])
def test_what_an_image_copies_exists(dockerfile: str) -> None:
    for source, _ in copies(dockerfile):
        assert source == "dist/retrohook.wasm" or (PROJECT / source).exists(), source


def test_what_an_image_copies_is_sent_to_the_builder_and_little_else() -> None:
    ignored = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert ignored[0] == "*"
    sent = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    dockerfiles = [*PROJECT.glob("kong/**/Dockerfile"), *PROJECT.glob("deploy/**/Dockerfile")]
    lines = [line for file in dockerfiles for line in re.findall(r"^COPY (.+)$", file.read_text(), re.MULTILINE)]
    copied = {source.rstrip("/") for line in lines for source in line.split()[:-1]}
    assert len(dockerfiles) == 3
    assert {source for source in copied if not any(f"{source}/".startswith(f"{each}/") for each in sent)} == set()
    assert {each for each in sent if not any(f"{source}/".startswith(f"{each}/") for source in copied)} == set()


def test_what_the_containers_mount_build_and_run_exists() -> None:
    services = load("compose.yaml")["services"]
    in_image = [source for source, _ in copies("demo/Dockerfile")]
    for name, service in services.items():
        build = service["build"]
        assert (KONG / build["context"] / build["dockerfile"]).is_file(), name
        for volume in service.get("volumes", []):
            assert (KONG / volume.split(":")[0]).is_file(), volume
        assert set(service.get("depends_on", {})) <= set(services), name
        for argument in service.get("command", []):
            if argument.endswith(".py"):
                assert (PROJECT / argument).is_file() and any(map(argument.startswith, in_image)), argument
    used = set(re.findall(r"http://(\w+):", (KONG / "compose.yaml").read_text() + (KONG / "demo/kong.yml").read_text()))
    assert used <= set(services)


def test_the_demo_has_the_versions_that_are_tested() -> None:
    tested = (PROJECT / "tests" / "requirements.txt").read_text().splitlines()
    demo = (KONG / "demo" / "requirements.txt").read_text().splitlines()
    assert {line for line in demo if "==" in line} <= set(tested)


def test_the_demo_makes_its_topic_and_its_queue(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = moto.administrator.environment()
    for name, value in {**keys, "AWS_ENDPOINT_URL": moto.url, "AWS_DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(name, value)
    # boto3 keeps the keys that it read first in a process, which another test's were.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    set_up = runpy.run_path(str(KONG / "demo" / "set_up.py"))["set_up"]
    topic = set_up("http://callback:8080/events")
    assert set_up("http://callback:8080/events") == topic == next(filters_in(load("demo/kong.yml")))["topic_arn"]
    subscriptions = moto.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert {each["Protocol"] for each in subscriptions} == {"http", "sqs"}
    worker = load("compose.yaml")["services"]["worker"]["command"]
    queue = worker[-1].rpartition("/")[2]
    assert moto.client("sqs").get_queue_url(QueueName=queue)["QueueUrl"].endswith(f"/123456789012/{queue}")
