"""What the block tests know about one block: how to make it, feed it, compare it, change it and misuse it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import cudagraph as cg

SIZES = (1, 3, 63, 1000, 1025)
FLOATS = ("float32", "float64", "float16", "bfloat16")
# Relative to the largest value of the result: a few units in the last place.
TOLERANCES = {"float64": 1e-14, "float32": 1e-6, "float16": 2e-3, "bfloat16": 2e-2}

Arrays = dict[str, np.ndarray]
Compare = Callable[[Any, tuple[np.ndarray, ...], tuple[Any, ...], float], None]


@dataclass(frozen=True)
class Misuse:
    """Something that must fail: `attempt` gets an engine on the host device."""

    attempt: Callable[[cg.CudaEngine], object]
    error: type[cg.CudaGraphError]
    message: str  # a regular expression


def compare_values(block: cg.Block, given: tuple[np.ndarray, ...], expected: tuple[Any, ...], tolerance: float) -> None:
    """Every output within `tolerance` of the largest expected value."""
    for one, wanted in zip(given, expected, strict=True):
        assert one.shape == wanted.shape
        if one.dtype.kind in "iub":
            np.testing.assert_array_equal(one, wanted)
            continue
        scale = max(1.0, float(np.abs(wanted).max(initial=0)))
        np.testing.assert_allclose(one.astype(np.float64), wanted, rtol=0, atol=tolerance * scale)


def largest_error(given: tuple[np.ndarray, ...], expected: tuple[Any, ...]) -> float:
    """The largest difference of any output, relative to the largest expected value."""
    largest = 0.0
    for one, wanted in zip(given, expected, strict=True):
        finite = np.isfinite(np.asarray(wanted, np.float64))
        if one.dtype.names is None and finite.any():
            scale = max(1.0, float(np.abs(wanted[finite]).max()))
            largest = max(largest, float(np.abs(one[finite].astype(np.float64) - wanted[finite]).max()) / scale)
    return largest


@dataclass(frozen=True)
class Case:
    """One block under test. `inputs(random, size, dtype)` gives an array for each input port."""

    make: Callable[[str], cg.Block]  # from the dtype
    inputs: Callable[[np.random.Generator, int, np.dtype[Any]], Arrays]
    dtypes: tuple[str, ...] = ("float32",)
    sizes: tuple[int, ...] = SIZES
    hot: Mapping[str, Any] = field(default_factory=dict)  # parameters and options, with another value
    extra: Mapping[str, Any] = field(default_factory=dict)  # what the reference wants to know besides
    misuses: tuple[Misuse, ...] = ()
    tolerances: Mapping[str, float] = field(default_factory=lambda: TOLERANCES)
    outputs: tuple[str, ...] | None = None  # what the reference returns, where that is not every output
    compare: Compare = compare_values
    any_order: bool = False  # of what it appends, or adds up atomically
    name: str = ""

    @property
    def kind(self) -> type[cg.Block]:
        """The block's class."""
        return type(self.make(self.dtypes[0]))

    def __str__(self) -> str:
        return self.name or self.kind.__name__


def load_cases(folder: Path, families: str = "*") -> list[Case]:
    """The cases of every family in a folder."""
    cases: list[Case] = []
    for file in sorted(folder.glob(f"{families}.py")):
        spec = importlib.util.spec_from_file_location(f"block_cases_{file.stem}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        cases += module.CASES
    return cases
