"""Small blocks that use what the library's own blocks use rarely. A script of the fuzzer contains those it needs."""

from __future__ import annotations

from typing import Any

import numpy as np

import cudagraph as cg
from cudagraph import blocks


class Formula(cg.Block):
    """y = an expression of x and factor."""

    def __init__(self, expression: str, factor: float = 1.0) -> None:
        super().__init__()
        self.expression = expression
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.factor = b.parameter("factor", factor)
            self.y = b.output("y", self.x.shape, "T")
            b.elementwise(f"y = {expression}", x=self.x, factor=self.factor, y=self.y)


class Switch(cg.Block):
    """y = factor * x for up to `limit` elements (a kernel that can be edited), factor * x + 1 for more."""

    def __init__(self, limit: int, factor: float = 1.0) -> None:
        super().__init__()
        self.limit = limit
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.factor = b.parameter("factor", factor)
            self.y = b.output("y", self.x.shape, "T")
            size = self.x.size
            with b.where(size <= limit):
                kernel = cg.CudaSource(switch_source("factor * x[i]"))
                b.kernel(kernel, elements=size, x=self.x, factor=self.factor, y=self.y, n=size)
            with b.where(size > limit):
                b.elementwise("y = factor * x + 1", x=self.x, factor=self.factor, y=self.y)


def switch_source(expression: str) -> str:
    """The kernel of a Switch, with another expression."""
    return f"""extern "C" __global__ void few(const T* x, T* y, float factor, long long n) {{
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = (T)({expression});
}}"""


class Accumulate(cg.Block):
    """total += x in each frame; y = total."""

    def __init__(self, init: Any = 0, dtype: str = "float32") -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,), dtype)
            self.total = b.state("total", self.x.shape, dtype, init)
            self.y = b.output("y", self.x.shape, dtype)
            kernel = """extern "C" __global__ void accumulate(const T* x, T* total, T* y, long long n) {
                const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
                if (i < n) y[i] = total[i] += x[i];
            }""".replace("T*", {"float32": "float*", "float64": "double*"}[dtype])
            b.kernel(cg.CudaSource(kernel), elements=self.x.size, x=self.x, total=self.total, y=self.y, n=self.x.size)


class Bump(cg.Block):
    """y = x + amount, in the memory of x."""

    def __init__(self, amount: float = 1.0) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.amount = b.parameter("amount", amount)
            self.y = b.output("y", self.x.shape, "T", inplace=self.x)
            kernel = """extern "C" __global__ void bump(T* y, float amount, long long n) {
                const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
                if (i < n) y[i] += (T)amount;
            }"""
            b.kernel(cg.CudaSource(kernel), elements=self.y.size, y=self.y, amount=self.amount, n=self.y.size)


class TwoSteps(cg.Block):
    """y = the running difference of 2x, through inner memory: y[i] = 2x[i] - 2x[i - 1], with x flattened."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.output("y", self.x.shape, "T")
            size = self.x.size
            doubled = b.scratch((size,), "T")
            b.elementwise("d = 2 * x", d=doubled, x=b.view(self.x, (size,)))
            kernel = """extern "C" __global__ void differ(const T* d, T* y, long long n) {
                const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
                if (i < n) y[i] = i ? d[i] - d[i - 1] : d[i];
            }"""
            b.kernel(cg.CudaSource(kernel), elements=size, d=doubled, y=self.y, n=size)


class Tail(cg.Block):
    """y = the second half of 3x, as a view of an inner tensor; whole = all of 3x."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            size = self.x.size
            self.whole = b.output("whole", (size,), "T")
            b.elementwise("whole = 3 * x", x=b.view(self.x, (size,)), whole=self.whole)
            self.y = b.view(self.whole, (size - size // 2,), offset=size // 2, name="y")


class Select(cg.Block):
    """Appends each x above a threshold, in any order, up to a capacity."""

    def __init__(self, threshold: float = 0.0, capacity: int = 16) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.threshold = b.parameter("threshold", threshold)
            self.kept = b.append_output("kept", "T", capacity)
            kernel = """#include "append.cuh"
            extern "C" __global__ void select(const T* x, T* kept, unsigned int* count, float threshold, long long n,
                                              unsigned int capacity) {
                const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
                if (i >= n || !(x[i] > (T)threshold)) return;
                const int slot = append_slot(count, capacity);
                if (slot >= 0) kept[slot] = x[i];
            }"""
            b.kernel(
                cg.CudaSource(kernel), elements=self.x.size, x=self.x, kept=self.kept, count=self.kept.count,
                threshold=self.threshold, n=self.x.size, capacity=capacity,
            )  # fmt: skip


class Mode(cg.Block):
    """y = x + MODE, where an option is the macro of a kernel; changing it compiles the kernel anew."""

    def __init__(self, mode: int = 0) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.mode = b.option("mode", mode, (0, 1, 2))
            self.y = b.output("y", self.x.shape, "T")
            kernel = """extern "C" __global__ void mode(const T* x, T* y, long long n) {
                const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
                if (i < n) y[i] = x[i] + (T)MODE;
            }"""
            define = {"MODE": self.mode}
            b.kernel(cg.CudaSource(kernel), elements=self.x.size, define=define, x=self.x, y=self.y, n=self.x.size)


class Pipeline(cg.Block):
    """y = relu((x @ weight.T) * gain) + x's mean of each row: blocks in a block, with a wire inside that is shared."""

    def __init__(self, features: int, seed: int = 0, dtype: str = "float32") -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (..., features), dtype)
            self.linear = blocks.Linear(features, features, bias=False, dtype=dtype, seed=seed)
            scaled = b.apply(blocks.Scale(0.5), b.apply(self.linear, self.x))
            mean = b.apply(blocks.Mean(-1, keepdim=True), self.x)
            self.y = b.expose(b.apply(blocks.Add(), b.apply(blocks.ReLU(), scaled), mean))


def array(seed: int, shape: tuple[int, ...], dtype: Any, low: float = -2, high: float = 2) -> np.ndarray:
    """Random contents that a seed decides; a record has them in each field."""
    random, dtype = np.random.default_rng(seed), np.dtype(dtype)
    if dtype.names is None:
        return random.uniform(low, high, shape).astype(dtype)
    made = np.zeros(shape, dtype)
    for name in dtype.names:
        made[name] = random.uniform(low, high, made[name].shape)
    return made
