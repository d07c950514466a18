"""`cudagraph blocks`: the catalogue, and the page of the documentation that is made from it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby

from cudagraph.blocks.catalogue import Entry, catalogue, exported_blocks

from .output import print_json, show, table

_HEAD = """# Block library

<!-- Made by `cudagraph blocks --markdown`. -->

`from cudagraph.blocks import Linear`. Each block has a `reference` in NumPy. It is tested against that, and against
torch, transformers, SciPy or scikit-learn where they have the same thing, on every dtype that it names.

Letters in shapes: `B` batch, `T` time or tokens, `C` channels, `H` height, `W` width, `I` features in, `O` features
out, `N` elements; `...` any leading dimensions.

## Catalogue

What the library is to have: {built} of {count} names are built. The error is the largest one that was measured against
the float64 reference at odd sizes, relative to the largest value.
"""


def run(*, family: str | None, built: bool, as_json: bool, as_markdown: bool) -> int:
    """Print the catalogue. The exit code is 1 when nothing fits."""
    entries = [e for e in catalogue() if (e.built or not built) and family in (None, e.family)]
    if as_json:
        print_json([asdict(entry) for entry in entries])
    elif as_markdown:
        print(markdown(), end="")
    else:
        rows = [(e.name, e.family, status(e), e.definition, ", ".join(e.oracles), errors(e)) for e in entries]
        show(table(("name", "family", "status", "definition", "oracles", "largest error"), rows))
        show(f"{sum(e.built for e in entries)} of {len(entries)} are built")
    return int(not entries)


def status(entry: Entry) -> str:
    """The blocks that implement an entry."""
    return ", ".join(entry.blocks) or "not yet"


def errors(entry: Entry) -> str:
    """The largest measured error by dtype."""
    return ", ".join(f"{dtype} {error:.1e}" for dtype, error in entry.errors.items())


def markdown() -> str:
    """The page `docs/blocks.md`."""
    entries = catalogue()
    head = _HEAD.format(built=sum(entry.built for entry in entries), count=len(entries))
    return "\n".join((head, *_tables(entries), "## Reference", "", *_reference()))


def _tables(entries: tuple[Entry, ...]) -> Iterator[str]:
    families = dict.fromkeys(entry.family for entry in entries)
    for family in families:
        yield f"### {family.capitalize()}\n"
        yield "| Name | Blocks | Definition | Oracles | Largest error |\n|---|---|---|---|---|"
        yield from (_row(entry) for entry in entries if entry.family == family)
        yield ""


def _row(entry: Entry) -> str:
    blocks = ", ".join(f"`{name}`" for name in entry.blocks) or "not yet"
    oracles = ", ".join(f"`{name}`" for name in entry.oracles)
    paper = f" ({entry.paper})" if entry.paper else ""
    return f"| {entry.name} | {blocks} | {_plain(entry.definition + paper)} | {oracles} | {errors(entry)} |"


def _plain(text: str) -> str:
    """Text that no character of makes Markdown do anything."""
    return "".join(f"&#{ord(character)};" if character in "\\|*_`[]<>#~&" else character for character in text)


def _reference() -> Iterator[str]:
    found = exported_blocks().items()
    by_family = sorted(found, key=lambda item: (_folder(item[1]), item[0]))
    for folder, members in groupby(by_family, key=lambda item: _folder(item[1])):
        yield f"### {folder.replace('_', ' ').capitalize()} blocks\n"
        yield from (f"::: cudagraph.blocks.{name}\n" for name, _ in members)


def _folder(block: type) -> str:
    module = inspect.getmodule(block)
    return module.__name__.split(".")[2] if module else ""
