"""Loading arrays by name into weights and states, and giving them out by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .errors import CudaGraphError, DescriptionError, ShapeError
from .shape import show_shape
from .tensor import State, Weight


@dataclass(frozen=True)
class Layout:
    """Which named arrays hold a tensor: its consecutive slices along `axis`, each of them transposed or not."""

    tensor: Weight | State
    parts: tuple[tuple[str, int], ...]  # a name and the slice's length along `axis`; a length of -1 is all of it
    axis: int = 0
    transpose: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays' names."""
        return tuple(name for name, _ in self.parts)

    def under(self, prefix: str) -> Layout:
        """The same, as a block outside of the one that said it spells the names."""
        return replace(self, parts=tuple((prefix + name, length) for name, length in self.parts))

    def split(self, value: np.ndarray) -> dict[str, np.ndarray]:
        """Copies of the slices by name."""
        if self.parts[0][1] < 0:
            return {self.parts[0][0]: self._turned(value).copy()}
        ends = np.cumsum([length for _, length in self.parts])[:-1]
        pieces = np.split(value, ends, self.axis)
        return {name: self._turned(piece).copy() for (name, _), piece in zip(self.parts, pieces, strict=True)}

    def join(self, mapping: Mapping[str, Any]) -> Any:
        """What the tensor is to be, from the arrays; `ShapeError` names the one that does not fit."""
        if not self.transpose and self.parts[0][1] < 0:
            return mapping[self.parts[0][0]]
        pieces = [self._piece(mapping[name], length) for name, length in self.parts]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, self.axis)

    def _piece(self, value: Any, length: int) -> np.ndarray:
        wanted = list(self.tensor.shape)
        if length >= 0:
            wanted[self.axis] = length
        array = np.asarray(value)
        given = array.shape[:-2] + array.shape[:-3:-1] if self.transpose else array.shape
        if given != tuple(wanted):
            turned = " transposed" if self.transpose else ""
            part = f"its part of {self.tensor.path} is {show_shape(wanted)}{turned}"
            raise ShapeError(f"{part}; the array is {show_shape(array.shape)}")
        return self._turned(array)

    def _turned(self, array: np.ndarray) -> np.ndarray:
        return array.swapaxes(-1, -2) if self.transpose else array


@dataclass(frozen=True)
class LoadReport:
    """What a mapping had, lacked and got wrong, by dotted name."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...]  # the block has them, the mapping does not
    unexpected: tuple[str, ...]  # the mapping has them, the block does not
    mismatched: tuple[str, ...]  # "name: reason"

    @property
    def complete(self) -> bool:
        """Whether everything matched."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} loaded"]
        for label in ("missing", "unexpected", "mismatched"):
            names: tuple[str, ...] = getattr(self, label)
            if names:
                parts.append(f"{len(names)} {label}: {_some(names)}")
        return "; ".join(parts)


def load_tensors(
    subject: str, targets: Sequence[Sequence[Layout]], mapping: Mapping[str, Any], strict: bool
) -> LoadReport:
    """Check everything, then assign. Each target is a tensor's possible layouts. See `Block.load_state_dict`."""
    fitting: list[tuple[Layout, np.ndarray]] = []
    missing: list[str] = []
    mismatched: list[str] = []
    for layouts in targets:
        layout = _present(layouts, mapping)
        absent = [name for name in layout.names if name not in mapping]
        missing += absent
        if absent:
            continue
        try:
            fitting.append((layout, layout.tensor.fit(layout.join(mapping))))
        except CudaGraphError as error:
            mismatched.append(f"{', '.join(layout.names)}: {error}")
    known = {name for layouts in targets for layout in layouts for name in layout.names}
    report = LoadReport(
        tuple(sorted(name for layout, _ in fitting for name in layout.names)),
        tuple(sorted(missing)),
        tuple(sorted(mapping.keys() - known)),
        tuple(sorted(mismatched)),
    )
    if strict and not report.complete:
        raise DescriptionError(
            f"{subject} did not load the arrays ({report}); nothing was changed. Pass strict=False to load what fits"
        )
    for layout, value in fitting:
        layout.tensor.assign(value)
    return report


def _present(layouts: Sequence[Layout], mapping: Mapping[str, Any]) -> Layout:
    """The first layout of which everything is there, else one of which something is, else the first."""
    for enough in (all, any):
        for layout in layouts:
            if enough(name in mapping for name in layout.names):
                return layout
    return layouts[0]


def _some(names: tuple[str, ...], most: int = 8) -> str:
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
