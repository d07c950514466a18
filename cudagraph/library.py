"""Which library operations exist and what they take. How they run is the engine's business (`engine/libraries`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Sizes:
    """An option that is no choice from a list: whole numbers or sizes of the block's shapes, one or a tuple of them."""

    default: int | None = None  # None: the operation finds it in the shapes of its operands
    low: int = 0


@dataclass(frozen=True)
class LibraryOperation:
    """The interface of one operation: operand names, scalars with their defaults, options with their choices."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    optional: tuple[str, ...] = ()  # inputs that may be left out
    scalars: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, tuple[Any, ...] | Sizes] = field(default_factory=dict)  # the first choice is the default


_PLACED = ("shape", "strides", "start")

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
        # y = activation(weight * x + bias + residual): x [..., C, spatial], weight [O, C / groups, kernel], bias [O],
        # y and residual [..., O, spatial'], over one to three dimensions. Paddings before and after each dimension.
        "cudnn.convolution": LibraryOperation(
            inputs=("x", "weight", "bias", "residual"),
            outputs=("y",),
            optional=("bias", "residual"),
            options={
                "activation": ("none", "relu"),
                "tf32": (False, True),
                "stride": Sizes(1, low=1),
                "dilation": Sizes(1, low=1),
                "before": Sizes(0),
                "after": Sizes(0),
            },
        ),
        # y = softmax(scale * q k^T + mask) v: q [B, H, T, D], k [B, K, S, D], v [B, K, S, E], y [B, H, T, E], where a
        # head of k and v serves H / K query heads; mask [B or 1, H or 1, T, S], scale a float32 in device memory.
        # Tensors that lie otherwise in their operands say how: shape, strides of batch, head and token, first element.
        "cudnn.attention": LibraryOperation(
            inputs=("q", "k", "v", "scale", "mask"),
            outputs=("y",),
            optional=("mask",),
            options={
                "causal": (False, True),
                "aligned": ("first", "last"),
                "window": Sizes(0),
                **{f"{name}_{what}": Sizes(0 if what == "start" else None) for name in "qkvy" for what in _PLACED},
            },
        ),
    }
)
"""Every operation that `BlockBuilder.library` knows, by name."""
