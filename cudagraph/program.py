"""A `Program` is one kernel to compile: self-contained source, its entry point, the macros that specialise it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path


class Language(StrEnum):
    """What `Program.text` holds."""

    CUDA = "cuda"  # CUDA C++
    PTX = "ptx"
    CUBIN = "cubin"


@dataclass(frozen=True)
class Program:
    """One kernel to compile. Two equal programs are compiled once per process and kept in one cache entry.

    `text` is complete: the package's own `#include "..."` lines are already inlined (with `#line` marks), so only
    the toolkit's `#include <...>` remain. `define` are macros such as `("T", "float")`, set before the first line.
    """

    text: str | bytes
    entry: str
    origin: str
    language: Language = Language.CUDA
    define: tuple[tuple[str, str], ...] = ()
    files: tuple[Path, ...] = field(default=(), compare=False)

    @cached_property
    def digest(self) -> str:
        """A stable hexadecimal name for everything that decides the compiled result, the compiler aside."""
        hasher = hashlib.sha256()
        for part in (self.language, self.entry, repr(self.define)):
            hasher.update(part.encode() + b"\0")
        hasher.update(self.text if isinstance(self.text, bytes) else self.text.encode())
        return hasher.hexdigest()
