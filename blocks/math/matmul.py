"""y = alpha * op(a) @ op(b)."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import broadcast


class MatMul(Block):
    """y = alpha * op(a) @ op(b) over the last two dimensions; the ones before broadcast as in NumPy.

    a: [..., M, K], b: [..., K, N], y: [..., M, N], of one type (float16, bfloat16, float32, float64), by cuBLAS (NumPy
    on the host device); sums are float32 (float64 for float64). transpose_a, transpose_b: the last two dimensions of
    the operand are the other way round in memory; nothing is copied. vector_a, vector_b: the operand is [K], and y
    lacks its dimension. `alpha`, when given, is a hot factor; for float64 tensors it needs `dtype="float64"`.
    `DescriptionError` for a transposed vector, `ShapeError` for operands that do not fit.
    """

    def __init__(
        self,
        transpose_a: bool = False,
        transpose_b: bool = False,
        *,
        alpha: float | None = None,
        vector_a: bool = False,
        vector_b: bool = False,
        dtype: str = "T",
    ) -> None:
        super().__init__()
        if (vector_a and transpose_a) or (vector_b and transpose_b):
            raise DescriptionError("a vector has one dimension, which MatMul cannot transpose")
        rows, columns = ("K", "M") if transpose_a else ("M", "K"), ("N", "K") if transpose_b else ("K", "N")
        more: dict[str, Any] = {"transpose_a": transpose_a, "transpose_b": transpose_b}
        with BlockBuilder(self) as b:
            self.a = b.input("a", ("K",) if vector_a else ("*a", *rows), dtype)
            self.b = b.input("b", ("K",) if vector_b else ("*b", *columns), dtype)
            leads = [lead for lead, vector in ((("*a",), vector_a), (("*b",), vector_b)) if not vector]
            lead = (broadcast(*leads),) if leads else ()
            self.y = b.output("y", (*lead, *("M",) * (not vector_a), *("N",) * (not vector_b)), dtype)
            self.alpha = None
            if alpha is not None:
                self.alpha = b.parameter("alpha", alpha, "float64" if dtype == "float64" else "float32")
                more["alpha"] = self.alpha
            b.library("cublas.gemm", a=self.a, b=self.b, c=self.y, **more)
        self._transposed = transpose_a, transpose_b

    def reference(self, a: np.ndarray, b: np.ndarray, *, alpha: float = 1.0) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        a, b = (x.swapaxes(-1, -2) if turned else x for x, turned in zip((a, b), self._transposed, strict=True))
        return alpha * np.matmul(a, b)
