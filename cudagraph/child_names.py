"""Names of children: as given, else as the attribute, list or dict that holds them, as in torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .block import Block
from .errors import DescriptionError


def named_children(block: Block, children: Mapping[Block, str | None]) -> dict[Block, str]:
    """Names for the children: as given, else the attribute that holds them, else their kind and a number."""
    attributes = _attribute_names(block)
    names: dict[Block, str] = {}
    taken = {name for name in children.values() if name}
    for child, given in children.items():
        wish = given or attributes.get(child) or child.name
        name = wish
        count = 2
        while given is None and name in taken:
            name = f"{wish}_{count}"
            count += 1
        taken.add(name)
        names[child] = name
    if len(set(names.values())) != len(names):
        raise DescriptionError(f"{block.path}: two children have the same name: {', '.join(names.values())}")
    return names


def _attribute_names(block: Block) -> dict[Block, str]:
    found: dict[Block, str] = {}
    for attribute, value in vars(block).items():
        if attribute.startswith("_") or attribute in ("parent", "owner"):
            continue
        items: Iterable[tuple[str, Any]] = ((attribute, value),)
        if isinstance(value, (list, tuple)):
            items = ((f"{attribute}/{index}", item) for index, item in enumerate(value))
        elif isinstance(value, dict):
            items = ((f"{attribute}/{key}", item) for key, item in value.items())
        for name, item in items:
            if isinstance(item, Block):
                found.setdefault(item, name)
    return found
