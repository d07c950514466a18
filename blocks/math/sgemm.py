"""C = alpha * A @ B + beta * C0, by cuBLAS."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder


class Sgemm(Block):
    """c = alpha * a @ b + beta * c_in, float32, by cuBLAS (NumPy on the host device).

    a: [M, K], b: [K, N], c_in and c: [M, N]. alpha, beta: hot; they live on the device, so that changing them captures
    nothing anew. c_in is not read while beta is 0.
    """

    def __init__(self, alpha: float = 1.0, beta: float = 0.0) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.a = b.input("a", ("M", "K"))
            self.b = b.input("b", ("K", "N"))
            self.c_in = b.input("c_in", ("M", "N"))
            self.alpha = b.parameter("alpha", alpha)
            self.beta = b.parameter("beta", beta)
            self.c = b.output("c", ("M", "N"))
            b.library("cublas.gemm", a=self.a, b=self.b, c_in=self.c_in, c=self.c, alpha=self.alpha, beta=self.beta)

    @staticmethod
    def reference(a: np.ndarray, b: np.ndarray, c_in: np.ndarray, *, alpha: float, beta: float) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        product = alpha * (a @ b)
        return product if beta == 0.0 else product + beta * c_in
