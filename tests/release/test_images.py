"""The images of a release, as the Open Container Initiative has them and as those read them who take them."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rig import PROJECT
from rig.oci import Image, read_layout
from rig.release import version

NAMES = ["retrohook", "retrohook-kong"]


@pytest.fixture(scope="session")
def skopeo() -> str:
    """Debian's, which is installed where it is missing and may be."""
    if shutil.which("skopeo") is None and shutil.which("apt-get"):
        as_root = [] if os.getuid() == 0 else ["sudo", "-n"]
        subprocess.run([*as_root, "apt-get", "install", "-qqy", "--no-install-recommends", "skopeo"], capture_output=True)
    return shutil.which("skopeo") or pytest.skip("there is no skopeo here, and it cannot be installed")


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_is_deterministic_and_readable_by_all(release: Path, name: str) -> None:
    top, images = read_layout(release / "oci" / name)
    assert top["annotations"] == {"org.opencontainers.image.ref.name": version()}
    for image in images:
        assert image.annotations["org.opencontainers.image.version"] == version()
        assert image.config["os"] == "linux" and "created" not in image.config
        (layer,) = image.layers
        names = [entry.name for entry, _ in layer]
        assert names == sorted(names) and not any(each.startswith(("/", ".")) for each in names)
        assert {(entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) for entry, _ in layer} == {(0, 0, 0, "", "")}
        assert {entry.mode for entry, _ in layer} <= {0o644, 0o755}
        folders = {entry.name for entry, _ in layer if entry.isdir()}
        parents = {str(parent) for each in names for parent in Path(each).parents} - {"."}
        assert folders == parents, "each folder is there, before what is in it"


def plugin_of(image: Image) -> bytes:
    """As Istio and Envoy Gateway look for it: the first file of that name in the last layer."""
    return next(content for entry, content in image.layers[-1] if Path(entry.name).name == "plugin.wasm")


def test_istio_and_envoy_gateway_find_the_module_and_the_digest_is_that_of_the_image(release: Path) -> None:
    top, (image,) = read_layout(release / "oci" / "retrohook")
    assert plugin_of(image) == (release / "retrohook.wasm").read_bytes()
    # They compare `sha256` with the image's digest, not with that of an index.
    assert top["digest"] == image.digest and top["mediaType"].endswith("image.manifest.v1+json")


def test_kong_s_image_has_all_that_kong_conf_names(release: Path) -> None:
    _, images = read_layout(release / "oci" / "retrohook-kong")
    assert [image.config["architecture"] for image in images] == ["amd64", "arm64"]
    first, second = (image.files() for image in images)
    assert first == second
    shipped = [PROJECT / "kong" / "retrohook-aws.conf", *(PROJECT / "kong" / "lua").rglob("*.lua")]
    expected = {str(path.relative_to(PROJECT / "kong")): path.read_bytes() for path in shipped}
    expected["wasm/retrohook.wasm"] = (release / "retrohook.wasm").read_bytes()
    expected["wasm/retrohook.meta.json"] = (release / "retrohook.meta.json").read_bytes()
    assert {name: text for name, text in first.items() if not name.startswith("share/")} == expected
    conf = (PROJECT / "kong" / "kong.conf").read_text()
    for setting in ("wasm_filters_path = /etc/kong/wasm", "nginx_http_include = /etc/kong/retrohook-aws.conf",
                    "lua_package_path = /etc/kong/lua/?.lua;"):  # fmt: skip
        assert setting in conf


def test_the_page_names_paths_that_kong_s_image_has(release: Path) -> None:
    _, (image, _) = read_layout(release / "oci" / "retrohook-kong")
    has = {entry.name for layer in image.layers for entry, _ in layer}
    page = (PROJECT / "docs" / "images.md").read_text()
    settings = dict(re.findall(r'name: KONG_(\w+), value: "?([^"}]+)"?}', page))
    conf = (PROJECT / "kong" / "kong.conf").read_text()
    for name, value in settings.items():
        # What kong.conf has, in another folder.
        assert f"\n{name.lower()} = {value.replace('/opt/retrohook', '/etc/kong')}\n" in conf
        assert re.match(r"/opt/retrohook/([\w.-]+)", value)[1] in has
    copied = re.findall(r"/etc/kong/([\w.-]+)", re.findall(r"command: \[cp, (.+)\]", page)[0])
    assert set(copied) == has - {name for name in has if "/" in name} - {"share"}


@pytest.mark.parametrize("name", NAMES)
def test_licences_and_the_bill_of_materials_go_with_the_module(release: Path, name: str) -> None:
    for image in read_layout(release / "oci" / name)[1]:
        texts = {Path(path).name: content for path, content in image.files().items()}
        for text in ("THIRD-PARTY-NOTICES.txt", "retrohook.cdx.json"):
            assert texts[text] == (release / text).read_bytes()
        assert texts["LICENSE"] == (PROJECT / "LICENSE").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_skopeo_takes_the_layout_and_its_tar(release: Path, skopeo: str, name: str, tmp_path: Path) -> None:
    """And what it copies has the digests that the layout has: a registry would show the same."""

    def run(*arguments: str) -> str:
        done = subprocess.run([skopeo, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    top, images = read_layout(release / "oci" / name)
    sources = [f"oci:{release}/oci/{name}:{version()}", f"oci-archive:{release}/{name}-{version()}.oci.tar:{version()}"]
    for number, source in enumerate(sources):
        inspected = json.loads(run("inspect", "--override-arch", "amd64", "--override-os", "linux", source))
        assert (inspected["Os"], inspected["Architecture"]) == ("linux", "amd64") and len(inspected["Layers"]) == 1
        copy = tmp_path / str(number)
        run("--insecure-policy", "copy", "--all", "--preserve-digests", source, f"oci:{copy}:{version()}")
        copied, copies = read_layout(copy)
        assert (copied["digest"], [each.digest for each in copies]) == (top["digest"], [each.digest for each in images])
