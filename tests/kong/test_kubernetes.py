"""deploy/kubernetes/kong: the chart's values are the settings of kong.conf, and Kong's schema takes the plugins' configurations."""

import json
from typing import Any

import pytest
import yaml
from rig import PROJECT

from .schema import VALIDATOR
from .test_shipped_files import VALID, copies, filters_in, load, settings

FOLDER = PROJECT / "deploy" / "kubernetes" / "kong"
VALUES: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text())
# What the chart sets by itself.
OF_THE_CHART = {"database", "declarative_config", "status_listen"}


def plugin(name: str) -> dict[str, Any]:
    (found,) = (each for each in yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text()) if each["kind"] == "KongPlugin")
    assert (found["plugin"], found["metadata"]["name"]) == ("retrohook", name)
    return found["config"]


def test_the_settings_are_those_of_kong_conf() -> None:
    expected = {name: value.replace("/etc/kong/", "/etc/kong/retrohook/") for name, value in settings().items() if name not in OF_THE_CHART}
    expected["nginx_main_env"] += "; env STRIPE_SECRET"
    assert VALUES["env"] == expected
    names = [name.removeprefix("env ") for name in expected["nginx_main_env"].split("; ")]
    assert {name.upper() for name in VALUES["customEnv"]} | {"AWS_SESSION_TOKEN"} == set(names)


def test_the_image_has_what_the_settings_name() -> None:
    (container,) = VALUES["deployment"]["initContainers"]
    cp, r, *sources, target = container["command"]
    assert (cp, r) == ("cp", "-r")
    in_image = {path.rstrip("/") for _, path in copies("Dockerfile")}
    copied = {}
    for source in sources:
        assert any(path == source or path.startswith(f"{source}/") for path in in_image), source
        copied[source.rpartition("/")[2]] = target + source.rpartition("/")[2]
    assert copied["wasm"] == VALUES["env"]["wasm_filters_path"]
    assert copied["retrohook-aws.conf"] == VALUES["env"]["nginx_http_include"]
    assert VALUES["env"]["lua_package_path"].startswith(f"{copied['lua']}/?.lua;")
    (mount,) = VALUES["deployment"]["userDefinedVolumeMounts"]
    assert mount["mountPath"] == container["volumeMounts"][0]["mountPath"] == target.rstrip("/")


def test_events_are_published_as_without_kubernetes() -> None:
    config = plugin("publish")
    VALIDATOR.validate(config)
    assert [config] == list(filters_in(load("kong.yml")["services"])), "the filter's own tests try that one"


def test_webhooks_are_captured_as_without_kubernetes() -> None:
    config = plugin("capture")
    VALIDATOR.validate(config)
    (capture,) = config["capture"]
    assert capture.pop("verify") == {"scheme": "stripe", "secrets": ["${env.STRIPE_SECRET}"]}
    assert [config] == list(filters_in(load("capture.yml")["services"])) and config in VALID
    kilobytes = VALUES["env"]["nginx_http_client_body_buffer_size"].removesuffix("k")
    assert capture["max_body_bytes"] <= int(kilobytes) * 1024


@pytest.mark.parametrize("name", ["publish", "capture"])
def test_each_ingress_has_its_plugin_in_its_namespace(name: str) -> None:
    documents = list(yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text()))
    assert {each["metadata"]["namespace"] for each in documents} == {"edge"}
    (ingress,) = (each for each in documents if each["kind"] == "Ingress")
    assert ingress["metadata"]["annotations"]["konghq.com/plugins"] == name
    assert json.dumps(ingress).count('"number"') == 1
