"""A reader of OCI image layouts that believes nothing: every digest and size is checked on the way."""

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_IMAGE = "application/vnd.oci.image"


@dataclass(frozen=True)
class Image:
    """An image of the layout, with what its layers hold."""

    digest: str
    annotations: dict[str, str]
    config: dict[str, Any]
    layers: list[list[tuple[tarfile.TarInfo, bytes]]]

    def files(self) -> dict[str, bytes]:
        return {entry.name: content for layer in self.layers for entry, content in layer if entry.isfile()}


def read_layout(folder: Path) -> tuple[dict[str, Any], list[Image]]:
    """The one descriptor of index.json, and the images that it leads to."""
    assert json.loads((folder / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((folder / "index.json").read_text())
    # The only one that may leave out its type.
    assert index["schemaVersion"] == 2 and index.get("mediaType") in (None, f"{_IMAGE}.index.v1+json")
    (top,) = index["manifests"]
    reader = _Reader(folder)
    images = reader.images(top)
    blobs = {path.name for path in (folder / "blobs" / "sha256").iterdir()}
    assert blobs == reader.seen, "every blob is of some use"
    return top, images


class _Reader:
    def __init__(self, folder: Path):
        self._blobs = folder / "blobs" / "sha256"
        self.seen: set[str] = set()

    def images(self, descriptor: dict[str, Any]) -> list[Image]:
        document = json.loads(self._blob(descriptor))
        assert (document["schemaVersion"], document["mediaType"]) == (2, descriptor["mediaType"])
        if descriptor["mediaType"] == f"{_IMAGE}.index.v1+json":
            return [self._image_of_platform(each) for each in document["manifests"]]
        assert descriptor["mediaType"] == f"{_IMAGE}.manifest.v1+json"
        assert document["config"]["mediaType"] == f"{_IMAGE}.config.v1+json"
        config = json.loads(self._blob(document["config"]))
        layers = [self._layer(each) for each in document["layers"]]
        assert config["rootfs"] == {"type": "layers", "diff_ids": [diff_id for diff_id, _ in layers]}
        return [Image(descriptor["digest"], document["annotations"], config, [entries for _, entries in layers])]

    def _image_of_platform(self, descriptor: dict[str, Any]) -> Image:
        (image,) = self.images(descriptor)
        platform = descriptor["platform"]
        assert platform == {key: image.config[key] for key in ("architecture", "os")}
        return image

    def _layer(self, descriptor: dict[str, Any]) -> tuple[str, list[tuple[tarfile.TarInfo, bytes]]]:
        assert descriptor["mediaType"] == f"{_IMAGE}.layer.v1.tar+gzip"
        plain = gzip.decompress(self._blob(descriptor))
        with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
            entries = [(entry, (file.read() if (file := tar.extractfile(entry)) else b"")) for entry in tar]
        return f"sha256:{hashlib.sha256(plain).hexdigest()}", entries

    def _blob(self, descriptor: dict[str, Any]) -> bytes:
        algorithm, _, digest = descriptor["digest"].partition(":")
        assert algorithm == "sha256"
        content = (self._blobs / digest).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (digest, descriptor["size"])
        self.seen.add(digest)
        return content
