"""`Program.define` as C++: type names become aliases, everything else macros.

A macro named `T` would rewrite every `template <typename T>` of the toolkit's own headers; an alias is shadowed by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cudagraph.dtypes import C_TYPES, HEADERS, VECTOR_TYPES


def define_header(define: Iterable[tuple[str, str]], text: str) -> str:
    """The lines that stand in front of `text`; a type that the text tests with `#ifdef` has to be a macro after all."""
    lines: list[str] = []
    for name, value in define:
        if value in HEADERS:
            lines.append(f"#include <{HEADERS[value]}>")
        is_type = value in C_TYPES or value in VECTOR_TYPES
        tested = re.search(rf"^\s*#\s*(ifn?def\s+{name}\b|(el)?if\b.*\bdefined\W+{name}\b)", text, re.MULTILINE)
        lines.append(f"using {name} = {value};" if is_type and not tested else f"#define {name} {value}")
    return "\n".join([*sorted(lines, key=lambda line: not line.startswith("#include")), ""])
