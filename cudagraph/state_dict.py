"""Loading arrays by name into weights and states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import CudaGraphError, DescriptionError
from .tensor import State, Weight


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
    subject: str, targets: Mapping[str, Weight | State], mapping: Mapping[str, Any], strict: bool
) -> LoadReport:
    """Check everything, then assign. See `Block.load_state_dict`."""
    fitting: dict[str, np.ndarray] = {}
    mismatched: list[str] = []
    for name in targets.keys() & mapping.keys():
        try:
            fitting[name] = targets[name].fit(mapping[name])
        except CudaGraphError as error:
            mismatched.append(f"{name}: {error}")
    report = LoadReport(
        tuple(sorted(fitting)),
        tuple(sorted(targets.keys() - mapping.keys())),
        tuple(sorted(mapping.keys() - targets.keys())),
        tuple(sorted(mismatched)),
    )
    if strict and not report.complete:
        raise DescriptionError(
            f"{subject} did not load the arrays ({report}); nothing was changed. Pass strict=False to load what fits"
        )
    for name, value in fitting.items():
        targets[name].assign(value)
    return report


def _some(names: tuple[str, ...], most: int = 8) -> str:
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
