"""Gives exports of the filter the names of the SDK's: python3 own_exports.py BUILT.wasm OUTPUT.wasm

The SDK exports every callback of Proxy-Wasm, and nothing can be linked beside it that has one of those names. So what the filter puts
before a callback of the SDK is called `retro_on_…` where that is `proxy_on_…`. Here each such pair changes names.
"""

import re
import sys
from pathlib import Path

_HEADER = 8
_EXPORT_SECTION = 7


def _section(module: bytes, wanted: int) -> tuple[int, int]:
    """The beginning and the end of the content of a section."""
    at = _HEADER
    while at < len(module):
        section, size, shift = module[at], 0, 0
        at += 1
        while True:
            size |= (module[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if module[at - 1] < 0x80:
                break
        if section == wanted:
            return at, at + size
        at += size
    raise ValueError(f"no section {wanted}")


def with_own_exports(module: bytes) -> bytes:
    """The module with the names changed; a ValueError where the filter has a callback that the SDK lacks."""
    start, end = _section(module, _EXPORT_SECTION)
    exports = module[start:end]
    for name in set(re.findall(rb"retro(_on_\w+)", exports)):
        own, of_the_sdk, neither = b"retro" + name, b"proxy" + name, b"\0" * (len(name) + 5)
        if exports.count(own) != 1 or exports.count(of_the_sdk) != 1:
            raise ValueError(f"{own.decode()} has no {of_the_sdk.decode()} to change names with")
        exports = exports.replace(own, neither).replace(of_the_sdk, own).replace(neither, of_the_sdk)
    return module[:start] + exports + module[end:]


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(with_own_exports(Path(sys.argv[1]).read_bytes()))
