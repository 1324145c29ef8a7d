"""Fails unless a WebAssembly module has an instruction of SIMD: python3 check_simd.py MODULE.wasm

Without them a module works as well, only that SHA-256, which is most of what a call to AWS costs, takes six times as long.

Reads instructions up to the first of SIMD, so it has to know the others and their operands, and none of SIMD.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"\0asm\1\0\0\0"
_CODE_SECTION = 10
_SIMD = 0xFD

# How many LEB128 integers follow an opcode (a block's type, an index, a constant, the alignment and offset of a load).
_OPERANDS = {
    **dict.fromkeys([0x00, 0x01, 0x05, 0x0B, 0x0F, 0x1A, 0x1B, 0xD1, *range(0x45, 0xC5)], 0),
    **dict.fromkeys([0x02, 0x03, 0x04, 0x0C, 0x0D, 0x10, 0x12, *range(0x20, 0x27), 0x3F, 0x40, 0x41, 0x42, 0xD0, 0xD2], 1),
    **dict.fromkeys([0x11, 0x13, *range(0x28, 0x3F)], 2),
}
_BR_TABLE, _SELECT, _MORE = 0x0E, 0x1C, 0xFC
_FLOAT_BYTES = {0x43: 4, 0x44: 8}

# The same for what follows the opcode 0xFC: conversions, memory and tables.
_OPERANDS_OF_MORE = {**dict.fromkeys(range(8), 0), 8: 2, 9: 1, 10: 2, 11: 1, 12: 2, 13: 1, 14: 2, 15: 1, 16: 1, 17: 1}


class _Reader:
    def __init__(self, data: bytes, at: int = 0):
        self.data = data
        self.at = at

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def integer(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def skip(self, integers: int) -> None:
        for _ in range(integers):
            self.integer()


def _functions(module: bytes) -> Iterator[tuple[int, int]]:
    """Where the body of each function begins and ends."""
    reader = _Reader(module, len(_MAGIC))
    while reader.at < len(module):
        section, size = reader.byte(), reader.integer()
        if section != _CODE_SECTION:
            reader.at += size
            continue
        for _ in range(reader.integer()):
            size = reader.integer()
            yield reader.at, reader.at + size
            reader.at += size


def _opcodes(module: bytes, start: int, end: int) -> Iterator[int]:
    reader = _Reader(module, start)
    # How many locals of each type.
    reader.skip(2 * reader.integer())
    while reader.at < end:
        opcode = reader.byte()
        yield opcode
        if opcode in _OPERANDS:
            reader.skip(_OPERANDS[opcode])
        elif opcode in _FLOAT_BYTES:
            reader.at += _FLOAT_BYTES[opcode]
        elif opcode == _BR_TABLE:
            reader.skip(reader.integer() + 1)
        elif opcode == _SELECT:
            reader.skip(reader.integer())
        elif opcode == _MORE and (more := reader.integer()) in _OPERANDS_OF_MORE:
            reader.skip(_OPERANDS_OF_MORE[more])
        else:
            raise ValueError(f"an instruction that this script does not know before byte {reader.at}: {opcode:#x}")
    if reader.at != end:
        raise ValueError(f"an instruction that ends after its function, at byte {reader.at}")


def has_simd(module: bytes) -> bool:
    """True if an instruction of SIMD is in the module; a ValueError where it is no module, or has what this script does not know."""
    if not module.startswith(_MAGIC):
        raise ValueError("no WebAssembly module")
    return any(_SIMD in _opcodes(module, *function) for function in _functions(module))


if __name__ == "__main__":
    if not has_simd(Path(sys.argv[1]).read_bytes()):
        sys.exit(f"{sys.argv[1]} has no instruction of SIMD: was it compiled without `-C target-feature=+simd128`?")
