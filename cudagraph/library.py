"""Which library operations exist and what they take. How they run is the engine's business (`engine/libraries`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class LibraryOperation:
    """The interface of one operation: operand names, scalars with their defaults, options with their choices."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    optional: tuple[str, ...] = ()  # inputs that may be left out
    scalars: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # the first choice is the default


OPERATIONS: Mapping[str, LibraryOperation] = MappingProxyType(
    {
        # c = alpha * op(a) @ op(b) + beta * c_in, then + bias (one value per column), then the epilogue. Batches and
        # vectors as in NumPy's matmul.
        "cublas.gemm": LibraryOperation(
            inputs=("a", "b", "c_in", "bias"),
            outputs=("c",),
            optional=("c_in", "bias"),
            scalars={"alpha": 1.0, "beta": 0.0},
            options={
                "transpose_a": (False, True),
                "transpose_b": (False, True),
                "epilogue": ("none", "relu", "gelu_tanh"),
                "tf32": (False, True),
            },
        ),
    }
)
"""Every operation that `BlockBuilder.library` knows, by name."""
