"""What a PTX file says about its kernels: entries, parameters and their sizes, thread limits, shared memory."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from .errors import DescriptionError

C_NAMES = {
    "f16": "__half",
    "bf16": "__nv_bfloat16",
    "f32": "float",
    "f64": "double",
    "s8": "signed char",
    "s16": "short",
    "s32": "int",
    "s64": "long long",
    "u8": "unsigned char",
    "u16": "unsigned short",
    "u32": "unsigned int",
    "u64": "unsigned long long",
}
C_NAMES |= {f"i{bits}": C_NAMES[f"s{bits}"] for bits in (8, 16, 32, 64)}
C_NAMES |= {f"b{bits}": C_NAMES[f"u{bits}"] for bits in (8, 16, 32, 64)}
"""The C++ name of PTX's scalar types."""

_SIZES = {name: int(name.lstrip("bfsui")) // 8 for name in C_NAMES}


@dataclass(frozen=True, slots=True)
class PtxParameter:
    """One `.param`: PTX type without the dot, size in bytes, and whether it is a pointer (None: it may be one)."""

    name: str
    type: str
    size: int
    pointer: bool | None


@dataclass(frozen=True, slots=True)
class PtxEntry:
    """One kernel. `threads` is a required thread block (`.reqntid`), `max_threads` the product of `.maxntid`."""

    name: str
    parameters: tuple[PtxParameter, ...]
    threads: tuple[int, int, int] | None
    max_threads: int | None


@dataclass(frozen=True, slots=True)
class PtxModule:
    """A PTX file: its kernels, bytes of static shared memory, and whether it takes dynamic shared memory."""

    entries: tuple[PtxEntry, ...]
    static_shared: int
    dynamic_shared: bool

    def entry(self, name: str | None, origin: str) -> PtxEntry:
        """The kernel of that name, or the only one; `DescriptionError` lists what there is."""
        for entry in self.entries:
            if entry.name == name or (name is None and len(self.entries) == 1):
                return entry
        names = ", ".join(entry.name for entry in self.entries)
        if name is None:
            raise DescriptionError(
                f"{origin} has {len(self.entries)} kernels: {names}; say which with entryPoint in the JSON beside "
                "it, or with CompiledKernel(..., entry=)"
            )
        raise DescriptionError(f"{origin} has no kernel {name!r}; it has {names}")


_COMMENT = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_ENTRY = re.compile(r"\.entry\s+([\w$%.]+)\s*(?:\(([^(){};]*)\))?([^(){};]*)\{")
_EXTENT = re.compile(r"\.(maxntid|reqntid)\s+(\d{1,9})(?:\s*,\s*(\d{1,9}))?(?:\s*,\s*(\d{1,9}))?")
_SHARED = re.compile(r"\.shared\s+(?:\.align\s+\d+\s+)?\.(\w+)\s+[\w$%]+\s*(?:(\[)(\d{0,9})\])?\s*[;=]")


def parse_ptx(text: str, origin: str = "<ptx>") -> PtxModule:
    """The facts of a PTX text; `DescriptionError` if it has no kernel or a parameter cannot be read."""
    text = _COMMENT.sub(" ", text)
    entries = tuple(_entry(match, origin) for match in _ENTRY.finditer(text))
    if not entries:
        raise DescriptionError(f"{origin} has no `.visible .entry`, so it is no PTX with a kernel in it")
    shared = [(_SIZES.get(kind, 1), int(length or not array)) for kind, array, length in _SHARED.findall(text)]
    return PtxModule(
        entries,
        static_shared=sum(size * length for size, length in shared),
        dynamic_shared=bool(re.search(r"\.extern\s+\.shared\b", text)),
    )


def _entry(match: re.Match[str], origin: str) -> PtxEntry:
    name, parameters, directives = match[1], match[2] or "", match[3]
    extents = {kind: (int(x), int(y or 1), int(z or 1)) for kind, x, y, z in _EXTENT.findall(directives)}
    threads = extents.get("reqntid")
    limit = threads or extents.get("maxntid")
    parts = [part for part in parameters.split(",") if part.strip()]
    return PtxEntry(
        name,
        tuple(_parameter(part, f"{origin}: {name}") for part in parts),
        threads,
        math.prod(limit) if limit else None,
    )


_PARAMETER = re.compile(
    r"\s*\.param\s+(?:\.align\s+\d+\s+)?\.(?P<type>\w+)\s+(?P<pointer>\.ptr\s+(?:\.\w+\s+)?(?:\.align\s+\d+\s+)?)?"
    r"(?P<name>[\w$%]+)\s*(?:\[\s*(?P<length>\d{1,9})\s*\])?\s*"
)


def _parameter(text: str, subject: str) -> PtxParameter:
    match = _PARAMETER.fullmatch(text)
    if match is None or match["type"] not in _SIZES:
        raise DescriptionError(f"{subject}: cannot read the parameter `{' '.join(text.split())}`")
    size = _SIZES[match["type"]] * int(match["length"] or 1)
    could_be = match["type"] in ("u64", "b64") and match["length"] is None
    return PtxParameter(match["name"], match["type"], size, True if match["pointer"] else None if could_be else False)
