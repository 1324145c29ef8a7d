"""The workflows: what they may do, what they run, and that their shell does with a release what RELEASING.md says."""

import json
import os
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from rig import PROJECT
from rig.oci import read_layout
from rig.release import version

FILES = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))

# Stands in for skopeo and for cosign: it writes down how it was called. A push says which digest it had.
STAND_IN = r"""#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
cat >/dev/null
while [ $# -gt 0 ]; do
  case $1 in
    --digestfile) file=$2 ;;
    oci-archive:*) layout=${1#oci-archive:} ;;
  esac
  shift
done
[ -z "$file" ] || tar -xOf "${layout%:*}" index.json | sed 's/.*"digest":"\([^"]*\)".*/\1/' >"$file"
"""


def workflow(name: str) -> dict[str, Any]:
    return yaml.safe_load((PROJECT / ".github" / "workflows" / f"{name}.yml").read_text())


def steps(name: str, job: str) -> dict[str, dict[str, Any]]:
    return {step.get("name", step.get("uses", step.get("run"))): step for step in workflow(name)["jobs"][job]["steps"]}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_actions_are_pinned_and_rights_are_few(file: Path) -> None:
    text = file.read_text()
    uses = re.findall(r"uses: (.+)", text)
    assert uses and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each) for each in uses), uses
    document = yaml.safe_load(text)
    assert document["permissions"] == {}
    for job in document["jobs"].values():
        writes = {scope for scope, right in job["permissions"].items() if right == "write"}
        assert not writes or not any("checkout" in step.get("uses", "") or "make" in step.get("run", "") for step in job["steps"]), (
            "what builds and runs code of others may write nothing"
        )


def test_both_run_what_a_developer_runs() -> None:
    assert workflow("ci")["jobs"]["test"]["steps"][-1] == {"run": ".ci/run"}
    assert {".ci/run", "make release"} <= steps("release", "build").keys()
    assert "make test" in (PROJECT / ".ci" / "run").read_text()


def test_what_is_summed_is_handed_on(release: Path) -> None:
    upload = steps("release", "build")["actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f"]
    patterns = upload["with"]["path"].split()
    names = [line.split("  ")[1] for line in (release / "SHA256SUMS").read_text().splitlines()]
    for name in ["SHA256SUMS", *names]:
        assert any(fnmatch(f"dist/{name}", pattern) for pattern in patterns), name


def run(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # As GitHub runs it.
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder, env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_a_tag_is_a_release_where_manifest_and_changelog_have_it(tmp_path: Path) -> None:
    script = steps("release", "build")["The tag is the version"]["run"]
    for changelog, manifest, tag, succeeds in [
        ("1.2.0 - 2026-01-02", "1.2.0", "v1.2.0", True),
        ("1.2.0 - 2026-01-02", "1.2.0", "v1.2.1", False),
        ("1.2.0 - 2026-01-02", "1.2.1", "v1.2.1", False),
        ("Unreleased", "1.2.0", "v1.2.0", False),
    ]:
        (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {changelog}\n")
        (tmp_path / "Cargo.toml").write_text(f'[package]\nversion = "{manifest}"\n[dependencies]\nother = "1.0"\n')
        done = run(script, tmp_path, GITHUB_REF_NAME=tag)
        assert (done.returncode == 0) == succeeds, (changelog, manifest, tag)


def test_cargo_and_the_command_line_have_one_version() -> None:
    manifests = [tomllib.loads((PROJECT / name).read_text()) for name in ("Cargo.toml", "cli/Cargo.toml")]
    assert {each["package"]["version"] for each in manifests} == {version()}


def test_each_image_is_pushed_whole_and_signed_by_its_digest(release: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("skopeo", "cosign"):
        (tools / name).write_text(STAND_IN)
        (tools / name).chmod(0o755)
    (tmp_path / "dist").symlink_to(release)
    calls, output = tmp_path / "calls", tmp_path / "output"
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}", "CALLS": str(calls), "GITHUB_OUTPUT": str(output),
        "GITHUB_REF_NAME": f"v{version()}", "GITHUB_REPOSITORY": "Acme/Retrohook", "GITHUB_ACTOR": "someone",
        "REGISTRY": "registry.example", "TOKEN": "hunter2",
    }  # fmt: skip
    for step in ("Log in to the registry", "Push and sign the images"):
        done = run(steps("release", "publish")[step]["run"], tmp_path, **environment)
        assert done.returncode == 0, done.stderr
    said = calls.read_text()
    assert "hunter2" not in said
    outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
    for name, repository in [("retrohook", "acme/retrohook"), ("retrohook-kong", "acme/retrohook-kong")]:
        top, _ = read_layout(release / "oci" / name)
        target = f"registry.example/{repository}"
        assert f"docker://{target}:{version()}\ncosign sign --yes --recursive {target}@{top['digest']}\n" in said
        assert (outputs[f"{name}-name"], outputs[f"{name}-digest"]) == (target, top["digest"])
    assert said.count("copy --all --preserve-digests") == 2


def test_the_provenance_is_of_what_was_pushed() -> None:
    attested = [step["with"] for step in workflow("release")["jobs"]["publish"]["steps"] if "attest" in step.get("uses", "")]
    subjects = json.dumps(attested)
    assert '"subject-checksums": "dist/SHA256SUMS"' in subjects
    for name in ("retrohook", "retrohook-kong"):
        assert f"steps.push.outputs.{name}-digest" in subjects and f"steps.push.outputs.{name}-name" in subjects
