"""Gates: one half of a tensor, activated, times the other."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import maximum

from .formulas import ACTIVATIONS, activate
from .launch import Half, after, checked_axis, row_launch, with_axis


class Gated(Block):
    """y = activation(a) * b, with a and b the two halves of x along `dim`.

    x: [..., 2 C, ...], y: [..., C, ...] of one floating-point type (float16, bfloat16, float32, float64). gate: the
    half that is activated, "first" as in LLaMA's feed-forward layers or "second" as in GLU (Shazeer, arXiv 2002.05202).
    activation: a name of `ACTIVATIONS`. `DescriptionError` for another name, `ShapeError` for an odd length.
    """

    def __init__(self, activation: str = "silu", dim: int = -1, *, gate: str = "first") -> None:
        super().__init__()
        kind = type(self).__name__
        if activation not in ACTIVATIONS or gate not in ("first", "second"):
            raise DescriptionError(
                f"{kind}: the activation is one of {', '.join(ACTIVATIONS)} of the 'first' or 'second' half, "
                f"not {activation!r} of the {gate!r}"
            )
        self.formula, self.gate, self.dim = activation, gate, checked_axis(kind, dim)
        with BlockBuilder(self) as b:
            shape = with_axis(dim)
            self.x = b.input("x", shape, "T")
            half = Half(self.x, dim)
            at = shape.index("D0" if dim == 0 else f"D{abs(dim)}")
            self.y = b.output("y", (*shape[:at], half, *shape[at + 1 :]), "T")
            columns = half * after(self.x, dim)
            rows = self.y.size // maximum(1, columns)
            b.kernel(
                "activation/gated",
                define={"ACTIVATION": activation, "GATE": int(gate == "second")},
                x=self.x,
                y=self.y,
                rows=rows,
                columns=columns,
                **row_launch(rows, columns),
            )

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        first, second = np.split(x, 2, axis=self.dim)
        if self.gate == "first":
            return activate(first, self.formula) * second
        return first * activate(second, self.formula)


class GLU(Gated):
    """y = a * sigmoid(b), with a and b the two halves of x along `dim` (Dauphin et al., arXiv 1612.08083).

    x: [..., 2 C, ...], y: [..., C, ...] of one floating-point type. `ShapeError` for an odd length.
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__("sigmoid", dim, gate="second")
