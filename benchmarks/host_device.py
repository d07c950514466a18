"""The host device next to NumPy: `python benchmarks/host_device.py [repetitions]`.

Prints the best time of each case, and the ratio to the best NumPy form of the same computation in the same process.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

import cudagraph as cg

ELEMENTS = 16 << 20
NODES, DEGREE, BATCH = 65_536, 8, 64


class Affine(cg.Block):
    """y = x * gain, elementwise."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.gain = b.parameter("gain", gain, "float32")
            self.y = b.output("y", self.x.shape)
            source = cg.CudaSource(
                """
                extern "C" __global__ void scale(const float* x, float gain, float* y, int n) {
                  int i = blockIdx.x * blockDim.x + threadIdx.x;
                  if (i < n) y[i] = x[i] * gain;
                }"""
            )
            b.kernel(source, elements=self.y.size, x=self.x, gain=self.gain, y=self.y, n=self.y.size)


class GatherDot(cg.Block):
    """y[b, i] = sum_k w[i, k] x[b, index[i, k]], k = 8."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", ("batch", "nodes"))
            self.index = b.input("index", ("nodes", DEGREE), "int32")
            self.w = b.input("w", ("nodes", DEGREE))
            self.y = b.output("y", self.x.shape)
            source = cg.CudaSource(
                """
                extern "C" __global__ void gather_dot(const float* x, const int* index, const float* w, float* y,
                                                      int n) {
                  int i = blockIdx.x * blockDim.x + threadIdx.x, batch = blockIdx.y;
                  if (i >= n) return;
                  float sum = 0.f;
                  for (int k = 0; k < 8; k++) sum += w[8 * i + k] * x[(size_t)batch * n + index[8 * i + k]];
                  y[(size_t)batch * n + i] = sum;
                }"""
            )
            grid = (cg.ceil_div(self.x.shape[-1], 256), self.x.shape[0])
            b.kernel(source, grid=grid, threads=256, x=self.x, index=self.index, w=self.w, y=self.y, n=self.x.shape[-1])


def best(run: Callable[[], object], repetitions: int) -> float:
    """The shortest of several runs, in milliseconds."""
    times = []
    for _ in range(repetitions):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return 1e3 * min(times)


def chain(repetitions: int) -> tuple[float, float]:
    """Eight blocks in a row over 16M floats, and eight ufuncs."""
    x = np.random.default_rng(0).random(ELEMENTS, np.float32)
    engine = cg.CudaEngine(device="host")
    blocks = [engine.add(Affine(1 + i / 16)) for i in range(8)]
    for source, target in pairwise(blocks):
        engine.connect(source.y, target.x)
    engine.bind(blocks[0].x, x)
    engine.update(sync=True)
    work, other = np.empty_like(x), np.empty_like(x)

    def with_numpy() -> None:
        np.multiply(x, np.float32(1), out=work)
        for i in range(1, 8):
            source, target = (work, other) if i % 2 else (other, work)
            np.multiply(source, np.float32(1 + i / 16), out=target)

    device = best(lambda: engine.update(sync=True), repetitions)
    numpy = best(with_numpy, repetitions)
    np.testing.assert_allclose(engine.read(blocks[-1].y), other, rtol=1e-6)
    engine.close()
    return device, numpy


def gather_dot(repetitions: int) -> tuple[float, float]:
    """A sparse matrix with eight entries per row times a batch, and the best of three ways to write it with NumPy."""
    rng = np.random.default_rng(1)
    x = rng.random((BATCH, NODES), np.float32)
    index = rng.integers(0, NODES, (NODES, DEGREE), np.int32)
    w = rng.random((NODES, DEGREE), np.float32)
    engine = cg.CudaEngine(device="host")
    block = engine.add(GatherDot())
    for port, array in ((block.x, x), (block.index, index), (block.w, w)):
        engine.bind(port, array)
    engine.update(sync=True)
    forms = (
        lambda: np.einsum("bik,ik->bi", x[:, index], w),
        lambda: sum(x[:, index[:, k]] * w[:, k] for k in range(DEGREE)),
        lambda: np.ascontiguousarray(np.matmul(w[:, None, :], x.T.copy()[index])[:, 0].T),  # rows are gathered whole
    )
    device = best(lambda: engine.update(sync=True), repetitions)
    numpy = min(best(form, max(repetitions // 4, 2)) for form in forms)
    np.testing.assert_allclose(engine.read(block.y), forms[0](), rtol=1e-4)
    engine.close()
    return device, numpy


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    print(cg.CudaEngine(device="host").device.description)
    for name, case, bar in (("elementwise chain of 8, 16M floats", chain, 1.0), ("gather-dot", gather_dot, 4.0)):
        device, numpy = case(repetitions)
        verdict = "ok" if numpy / device >= bar else "MISSED"
        ratio = f"{numpy / device:5.2f}x (bar {bar:g}x: {verdict})"
        print(f"{name:36} host {device:8.2f} ms   numpy {numpy:8.2f} ms   {ratio}")


if __name__ == "__main__":
    main()
