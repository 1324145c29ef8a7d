"""Images in the layout of the Open Container Initiative, as a folder and as a tar of it.

The same files make the same bytes: names are sorted, and nothing has a time, an owner or a name of this machine. Nothing here
talks to a registry; skopeo or another tool copies a layout there.
"""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

_IMAGE = "application/vnd.oci.image"
MANIFEST = f"{_IMAGE}.manifest.v1+json"
INDEX = f"{_IMAGE}.index.v1+json"
CONFIG = f"{_IMAGE}.config.v1+json"
LAYER = f"{_IMAGE}.layer.v1.tar+gzip"

Descriptor = dict[str, Any]


class Layout:
    """A layout that is being written. What the tag leads to is added last."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._blobs = folder / "blobs" / "sha256"
        shutil.rmtree(folder, ignore_errors=True)
        self._blobs.mkdir(parents=True)

    def add_image(self, files: Mapping[str, bytes], architecture: str, annotations: Mapping[str, str]) -> Descriptor:
        """An image of one layer for Linux. Its platform stands in its own configuration only."""
        layer = tar_of(files)
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._add(CONFIG, _json(config)),
            # Without a name and a time in its head.
            "layers": [self._add(LAYER, gzip.compress(layer, 9, mtime=0))],
            "annotations": dict(annotations),
        }
        return self._add(MANIFEST, _json(manifest))

    def add_index(self, images: Mapping[str, Descriptor], annotations: Mapping[str, str]) -> Descriptor:
        """One image for several architectures."""
        manifests = [
            {**image, "platform": {"architecture": architecture, "os": "linux"}} for architecture, image in images.items()
        ]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests, "annotations": dict(annotations)}
        return self._add(INDEX, _json(index))

    def finish(self, content: Descriptor, tag: str) -> None:
        tagged = {**content, "annotations": {"org.opencontainers.image.ref.name": tag}}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [tagged]}
        (self._folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
        (self._folder / "index.json").write_bytes(_json(index))

    def _add(self, media_type: str, content: bytes) -> Descriptor:
        digest = _digest(content)
        (self._blobs / digest.removeprefix("sha256:")).write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """A tar with these files, which all may read, and the folders that they are in."""
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents if str(parent) != "."}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted([*folders, *files]):
            entry = tarfile.TarInfo(name)
            if name in folders:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            else:
                entry.size = len(files[name])
            tar.addfile(entry, io.BytesIO(files.get(name, b"")))
    return out.getvalue()


def files_below(folder: Path, among: Iterable[Path] | None = None) -> dict[str, bytes]:
    """The files below a folder, or those among them, by their path in it."""
    paths = sorted(path for path in among or folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
