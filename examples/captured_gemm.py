"""Library calls inside the graph: cuBLAS with hot alpha and beta, and your own captured code beside it."""

from typing import Any

import numpy as np

import cudagraph as cg
from cudagraph.blocks import Sgemm


def sort_rows(stream: int, x: Any, y: Any) -> None:
    """Whatever CuPy (or torch, or cuFFT) queues on the stream becomes a part of the graph."""
    import cupy

    with cupy.cuda.ExternalStream(stream):
        y[...] = cupy.sort(x, axis=-1)


def sort_rows_on_the_host(x: np.ndarray, y: np.ndarray) -> None:
    y[...] = np.sort(x, axis=-1)


class SortRows(cg.Block):
    """y = x with every row sorted."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.y = b.output("y", self.x.shape)
            b.capture(sort_rows, inputs=[self.x], outputs=[self.y], host=sort_rows_on_the_host)


random = np.random.default_rng(0)
a, b, c = (random.standard_normal(shape, np.float32) for shape in ((4, 6), (6, 3), (4, 3)))

with cg.CudaEngine() as engine:
    gemm, sort = engine.add(Sgemm(alpha=1.0, beta=0.0), SortRows())
    engine.connect(gemm.c, sort.x)
    for port, array in ((gemm.a, a), (gemm.b, b), (gemm.c_in, c)):
        engine.bind(port, array)
    engine.update()
    print("a @ b             ", np.abs(engine.read(sort.y) - np.sort(a @ b)).max() < 1e-5)

    gemm.alpha.value, gemm.beta.value = 2.0, -1.0  # read from device memory by cuBLAS: nothing is captured anew
    engine.update()
    print("2 (a @ b) - c     ", np.abs(engine.read(sort.y) - np.sort(2 * (a @ b) - c)).max() < 1e-5)
    print(engine.explain(), f"({engine.rebuilds} build)", sep="\n")
