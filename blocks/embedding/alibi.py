"""y = x - slopes * |i - j|: attention with linear biases."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import ceil_div, maximum, minimum

_FORMS = ("symmetric", "causal", "keys")


class ALiBi(Block):
    """y[h, i, j] = x[h, i, j] - slopes[h] * |position + i - j|: linear biases on attention scores.

    x, y: [..., H, T, S] scores of one floating-point type (float16, bfloat16, float32, float64). form: "symmetric" as
    above; "causal" adds slopes[h] * (j - position - i), also where j is later; "keys" adds slopes[h] * j, as BLOOM
    does, which a causal softmax cannot tell from the others. `position`, that of the first query, and the float32
    `slopes`, H of them, are hot. Attention that takes slopes itself (see `alibi_slopes`) writes no scores to memory.

    Press et al. 2021, 2108.12409. `DescriptionError` for no heads, or another form.
    """

    def __init__(self, heads: int, *, form: str = "symmetric", position: int = 0) -> None:
        super().__init__()
        if form not in _FORMS:
            raise DescriptionError(f"ALiBi: form is one of {', '.join(_FORMS)}, not {form!r}")
        self.form = form
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., heads, "T", "S"), "T")
            self.slopes = b.state("slopes", (heads,), "float32", alibi_slopes(heads), persistent=False)
            self.position = b.parameter("position", position, "int32", low=0)
            self.y = b.output("y", self.x.shape, "T")
            keys: Any = self.x.shape[-1]
            lanes = 32 * minimum(8, maximum(1, ceil_div(keys, 32)))
            b.kernel(
                "embedding/alibi",
                threads=(lanes, 256 // lanes),
                grid=maximum(1, ceil_div(self.x.rows, 256 // lanes)),
                define={"FORM": _FORMS.index(form)},
                x=self.x,
                slopes=self.slopes,
                position=self.position,
                y=self.y,
                rows=self.x.rows,
                heads=heads,
                queries=maximum(1, self.x.shape[-2]),
                keys=keys,
            )

    def reference(self, x: np.ndarray, *, position: int = 0) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        queries, keys = position + np.arange(x.shape[-2])[:, None], np.arange(x.shape[-1])
        distance = {"symmetric": -np.abs(queries - keys), "causal": keys - queries, "keys": keys + 0 * queries}[
            self.form
        ]
        return x + self.slopes.value.astype(x.dtype)[:, None, None] * distance.astype(x.dtype)


def alibi_slopes(heads: int) -> np.ndarray:
    """The slopes of `heads` heads, float32: 2^(-8 (h + 1) / heads) for a power of two.

    Otherwise those of the largest power of two below, and then every second one of the next power. `DescriptionError`
    for no heads.
    """
    if heads < 1:
        raise DescriptionError(f"ALiBi has at least one head, not {heads}")
    power = 1 << (heads.bit_length() - 1)
    slopes = 2.0 ** (-8.0 / power * np.arange(1, power + 1))
    between = 2.0 ** (-4.0 / power * np.arange(1, 2 * (heads - power), 2))
    return np.concatenate((slopes, between)).astype(np.float32)
