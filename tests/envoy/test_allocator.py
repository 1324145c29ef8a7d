"""The settings of Envoy's allocator that docs/guides/production.md recommends."""

import re
from dataclasses import dataclass

import pytest
import yaml
from rig import PROJECT
from rig.envoy_config import EnvoyConfig
from rig.gateway import ANY_CREDENTIALS, MISSION_PUT, StartGateway
from rig.http import send
from rig.sns_sink import SnsSink

PAGE = (PROJECT / "docs" / "guides" / "production.md").read_text()
VARIABLE, TUNABLE = re.search(r"^(GLIBC_TUNABLES)=(\S+)$", PAGE, re.MULTILINE).groups()  # type: ignore[union-attr]
ALLOCATOR = yaml.safe_load(re.search(r"^memory_allocator_manager:\n(?:  .*\n)+", PAGE, re.MULTILINE)[0])  # type: ignore[index]


@dataclass(frozen=True)
class Environment:
    """Envoy's own, with that of the page or without."""

    is_frugal: bool

    def environment(self) -> dict[str, str]:
        return {**ANY_CREDENTIALS.environment(), **({VARIABLE: TUNABLE} if self.is_frugal else {})}


@pytest.mark.parametrize("is_frugal", [False, True])
def test_the_variable_moves_envoy_s_caches_from_threads_to_cpus(
    start_gateway: StartGateway, sink: SnsSink, is_frugal: bool
) -> None:
    def adjust(config: EnvoyConfig) -> None:
        config.document.update(ALLOCATOR if is_frugal else {})

    envoy = start_gateway("access-logger", sink.address, Environment(is_frugal), adjust=adjust)
    assert send(envoy.address_of(), *MISSION_PUT).status == 200
    page = envoy.admin_get("/memory/tcmalloc")
    found = re.findall(r"(\d+) \(.*\) Bytes in (per-CPU cache freelist|thread cache freelists)", page)
    bytes_in = {kind: int(count) for count, kind in found}
    assert (bytes_in["per-CPU cache freelist"] > bytes_in["thread cache freelists"]) == is_frugal, bytes_in
