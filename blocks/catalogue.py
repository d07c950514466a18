"""The catalogue: every block that the library is to have, what is built of it, and how exact it was measured to be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cudagraph.blocks
import cudagraph.blocks.models
from cudagraph.block import Block

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """One name of the catalogue. `blocks` are the classes that implement it: none when it is not built yet."""

    name: str
    family: str
    definition: str
    paper: str
    oracles: tuple[str, ...]  # independent implementations, as package:path
    blocks: tuple[str, ...]
    errors: Mapping[str, float]  # by dtype: the largest measured error, relative to the largest value

    @property
    def built(self) -> bool:
        """Whether the library has it."""
        return bool(self.blocks)


@cache
def catalogue() -> tuple[Entry, ...]:
    """All entries, in the order of the catalogue."""
    measured = measured_errors()
    return tuple(_entry(item, measured) for item in _read("catalogue.json"))


def exported_blocks() -> dict[str, type[Block]]:
    """The classes of `cudagraph.blocks` by name."""
    found = vars(cudagraph.blocks).items()
    return {name: item for name, item in found if isinstance(item, type) and issubclass(item, Block)}


def measured_errors() -> dict[str, dict[str, float]]:
    """The largest error of each block's tests by class and dtype, as `pytest tests/blocks --record-errors` wrote it."""
    return _read("measured.json")


def _entry(item: Mapping[str, Any], measured: Mapping[str, Mapping[str, float]]) -> Entry:
    blocks = tuple(name for name in item.get("blocks", [item["name"]]) if _is_exported(name))
    errors: dict[str, float] = {}
    for name in blocks:
        for dtype, error in measured.get(name.removeprefix("models."), {}).items():
            errors[dtype] = max(error, errors.get(dtype, 0.0))
    return Entry(
        name=item["name"],
        family=item["family"],
        definition=item["definition"],
        paper=item["paper"],
        oracles=tuple(item["oracles"]),
        blocks=blocks,
        errors=errors,
    )


def _is_exported(name: str) -> bool:
    """Whether `cudagraph.blocks` has it; "models.X" is in `cudagraph.blocks.models`."""
    folder, _, own = name.rpartition(".")
    return isinstance(vars(cudagraph.blocks.models if folder else cudagraph.blocks).get(own), type)


def _read(name: str) -> Any:
    return json.loads((_FOLDER / name).read_text(encoding="utf-8"))
