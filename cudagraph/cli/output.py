"""Printing: coloured on a terminal, plain in a pipe, JSON for programs."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table

_PIPED_WIDTH = 10_000  # nothing is folded or cut where another program reads


def show(*items: RenderableType) -> None:
    """Print to standard output; in a pipe without colours, folding and trailing spaces."""
    if sys.stdout.isatty():
        Console(highlight=False, markup=False).print(*items, sep="\n")
        return
    text = io.StringIO()
    Console(file=text, width=_PIPED_WIDTH, no_color=True, highlight=False, markup=False).print(*items, sep="\n")
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()) -> Table:
    """A table without lines; the columns named in `right` are numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*map(str, row))
    return made


def print_json(value: Any) -> None:
    """One JSON object on standard output, on one line."""
    sys.stdout.write(json.dumps(value) + "\n")


def fail(error: Exception) -> None:
    """An error's message on standard error."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(f"error: {error}", style="red")
