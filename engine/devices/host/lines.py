"""Which source line a machine instruction came from: the line table of an ELF file, DWARF versions 2 to 4."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

_COPY, _ADVANCE_PC, _ADVANCE_LINE, _SET_FILE, _ADD_CONSTANT, _FIXED_ADVANCE = 1, 2, 3, 4, 8, 9
_END_SEQUENCE, _SET_ADDRESS = 1, 2


def source_line(binary: bytes, address: int) -> tuple[str, int] | None:
    """File and line of the instruction at `address` in a 64-bit ELF file; None where it does not tell."""
    table = _section(binary, b".debug_line")
    best: tuple[int, str, int] | None = None
    for start, end, file, line in _rows(table):
        if start <= address < end and (best is None or start >= best[0]):
            best = (start, file, line)
    return None if best is None or not best[2] else best[1:]


def _section(binary: bytes, name: bytes) -> bytes:
    """The contents of a section, empty where there is none."""
    if binary[:5] != b"\x7fELF\x02" or len(binary) < 64:
        return b""
    (table,) = struct.unpack_from("<Q", binary, 40)
    size, count, names = struct.unpack_from("<HHH", binary, 58)
    if names >= count:
        return b""
    headers = [struct.unpack_from("<IIQQQQ", binary, table + i * size) for i in range(count)]
    strings = headers[names][4]
    for header in headers:
        start = strings + header[0]
        if binary[start : start + len(name) + 1] == name + b"\0":
            return binary[header[4] : header[4] + header[5]]
    return b""


class _Reader:
    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position

    def number(self, layout: str) -> int:
        (value,) = struct.unpack_from(layout, self.data, self.position)
        self.position += struct.calcsize(layout)
        return value

    def unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.number("<B")
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def signed(self) -> int:
        start = self.position
        value = self.unsigned()
        bits = 7 * (self.position - start)
        return value - (1 << bits) if value >> (bits - 1) & 1 else value

    def text(self) -> str:
        end = self.data.index(b"\0", self.position)
        found = self.data[self.position : end].decode(errors="replace")
        self.position = end + 1
        return found


@dataclass
class _Unit:
    """The header of one compilation unit's line program."""

    minimum: int
    line_base: int
    line_range: int
    opcode_base: int
    lengths: list[int]
    files: list[str] = field(default_factory=list)


@dataclass
class _State:
    address: int = 0
    file: int = 1
    line: int = 1


def _rows(table: bytes) -> Iterator[tuple[int, int, str, int]]:
    """Begin and end of each run of instructions with its file and line."""
    reader = _Reader(table, 0)
    while reader.position + 10 < len(table):
        length = reader.number("<I")
        end = reader.position + length
        version = reader.number("<H")
        if 2 <= version <= 4:
            program = reader.number("<I") + reader.position
            unit = _header(reader, version)
            reader.position = program
            yield from _run(reader, unit, end)
        reader.position = end


def _header(reader: _Reader, version: int) -> _Unit:
    minimum = reader.number("<B")
    if version >= 4:
        reader.number("<B")  # operations per instruction: 1 on every CPU that we run on
    reader.number("<B")
    line_base, line_range, opcode_base = reader.number("<b"), reader.number("<B"), reader.number("<B")
    unit = _Unit(minimum, line_base, line_range, opcode_base, [reader.number("<B") for _ in range(opcode_base - 1)])
    folders = [""]
    while folder := reader.text():
        folders.append(folder)
    while name := reader.text():
        folder = reader.unsigned()
        reader.unsigned()  # time
        reader.unsigned()  # size
        unit.files.append(name if not folder or name.startswith("/") else f"{folders[folder]}/{name}")
    return unit


def _run(reader: _Reader, unit: _Unit, end: int) -> Iterator[tuple[int, int, str, int]]:
    state, row = _State(), None
    while reader.position < end:
        emitted, finished = _step(reader, unit, state)
        if not emitted:
            continue
        if row is not None:
            yield row[0], state.address, *row[1:]
        name = unit.files[state.file - 1] if 0 < state.file <= len(unit.files) else "?"
        row = None if finished else (state.address, name, state.line)
        if finished:
            state = _State()


def _step(reader: _Reader, unit: _Unit, state: _State) -> tuple[bool, bool]:
    """Execute one instruction: whether it appends a row, and whether that ends the sequence."""
    opcode = reader.number("<B")
    if opcode >= unit.opcode_base:
        advance, line = divmod(opcode - unit.opcode_base, unit.line_range)
        state.address += advance * unit.minimum
        state.line += unit.line_base + line
        return True, False
    if opcode == 0:
        return _extended(reader, state)
    if opcode == _COPY:
        return True, False
    if opcode == _ADVANCE_PC:
        state.address += reader.unsigned() * unit.minimum
    elif opcode == _ADVANCE_LINE:
        state.line += reader.signed()
    elif opcode == _SET_FILE:
        state.file = reader.unsigned()
    elif opcode == _ADD_CONSTANT:
        state.address += (255 - unit.opcode_base) // unit.line_range * unit.minimum
    elif opcode == _FIXED_ADVANCE:
        state.address += reader.number("<H")
    else:
        for _ in range(unit.lengths[opcode - 1]):
            reader.unsigned()
    return False, False


def _extended(reader: _Reader, state: _State) -> tuple[bool, bool]:
    end = reader.unsigned() + reader.position
    opcode = reader.number("<B")
    if opcode == _SET_ADDRESS:
        state.address = reader.number("<Q")
    reader.position = end
    return opcode == _END_SEQUENCE, opcode == _END_SEQUENCE
