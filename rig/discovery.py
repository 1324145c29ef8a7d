"""Resources that a running Envoy finds in a file, which stands in the place of a control plane."""

import itertools
import json
from pathlib import Path
from typing import Any

CLUSTER = "envoy.config.cluster.v3.Cluster"
LISTENER = "envoy.config.listener.v3.Listener"


class WatchedFile:
    """A file of resources of one kind, in a folder that Envoy watches."""

    def __init__(self, path: Path, kind: str):
        self._path, self._kind = path, kind
        self._versions = itertools.count()
        self.source = {
            "resource_api_version": "V3",
            "path_config_source": {"path": str(path), "watched_directory": {"path": str(path.parent)}},
        }
        """What Envoy's configuration calls it by."""

    def write(self, resources: list[dict[str, Any]]) -> None:
        """Replaces all that there is."""
        content = {
            "version_info": str(next(self._versions)),
            "resources": [{"@type": f"type.googleapis.com/{self._kind}", **each} for each in resources],
        }
        aside = self._path.with_suffix(".new")
        aside.write_text(json.dumps(content))
        # Envoy looks when a file is moved into the folder.
        aside.rename(self._path)
