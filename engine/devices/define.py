"""`Program.define` as C++: type names become aliases, everything else macros.

A macro named `T` would rewrite every `template <typename T>` of the toolkit's own headers; an alias is shadowed by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cudagraph.dtypes import C_TYPES, HEADERS, VECTOR_TYPES


def definitions(define: Iterable[tuple[str, str]], text: str) -> str:
    """The lines that stand in front of `text`; a type that the text tests with `#ifdef` has to be a macro after all."""
    lines: list[str] = []
    for name, value in define:
        is_type = value in C_TYPES or value in VECTOR_TYPES
        tested = re.search(rf"^\s*#\s*(ifn?def\s+{name}\b|(el)?if\b.*\bdefined\W+{name}\b)", text, re.MULTILINE)
        lines.append(f"using {name} = {value};\n" if is_type and not tested else f"#define {name} {value}\n")
    return "".join(lines)


def headers(define: Iterable[tuple[str, str]]) -> str:
    """Includes of the toolkit's headers that declare the types among the definitions."""
    return "".join(
        f"#include <{HEADERS[value]}>\n" for value in dict.fromkeys(v for _, v in define) if value in HEADERS
    )
