"""Small blocks that tests are made of: every feature of the builder, in the fewest lines."""

from __future__ import annotations

from typing import Any

import numpy as np

import cudagraph as cg

SCALE = """
extern "C" __global__ void scale(const float* x, float* y, float factor, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = factor * x[i];
}
"""

ACCUMULATE = """
extern "C" __global__ void accumulate(const float* x, float* total, float* y, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = total[i] += x[i];
}
"""

FILTER = """
extern "C" __global__ void filter(const float* x, float* out, unsigned int* count, float threshold,
                                  long long n, int capacity) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= n || !(x[i] > threshold)) return;
    unsigned int slot = atomicAdd(count, 1u);
    if (slot < (unsigned int)capacity) out[slot] = x[i];
}
"""

HALVE_COUNT = """
extern "C" __global__ void halve_count(const unsigned int* count, unsigned int* half_count) {
    *half_count = *count / 2;
}
"""


class Scale(cg.Block):
    """y = factor * x, the factor by value."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.factor = b.parameter("factor", factor)
            self.y = b.output("y", self.x.shape)
            b.kernel(
                cg.CudaSource(SCALE, name="scale.cu"),
                elements=self.y.size,
                x=self.x,
                y=self.y,
                factor=self.factor,
                n=self.y.size,
            )

    @staticmethod
    def reference(x: np.ndarray, *, factor: float) -> np.ndarray:
        return np.float32(factor) * x


class Shift(cg.Block):
    """y = x + offset, the offset in the parameter block."""

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.offset = b.parameter("offset", offset)
            self.y = b.output("y", self.x.shape)
            text = """extern "C" __global__ void shift(const float* x, const float* offset, float* y, long long n) {
                long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
                if (i < n) y[i] = x[i] + *offset;
            }"""
            b.kernel(
                cg.CudaSource(text, name="shift.cu"),
                elements=self.y.size,
                x=self.x,
                offset=self.offset,
                y=self.y,
                n=self.y.size,
            )


class Add(cg.Block):
    """c = a + b."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.a = b.input("a", (...,))
            self.b = b.input("b", (...,))
            self.c = b.output("c", self.a.shape)
            b.elementwise("c = a + b", a=self.a, b=self.b, c=self.c)


class Offset(cg.Block):
    """y = x + weight, one weight per column."""

    def __init__(self, weight: Any) -> None:
        super().__init__()
        weight = np.asarray(weight, np.float32)
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (..., len(weight)))
            self.weight = b.weight("weight", weight.shape, "float32", weight)
            self.y = b.output("y", self.x.shape)
            text = """extern "C" __global__ void offset(
                const float* x, const float* weight, float* y, int columns, long long n) {
                long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
                if (i < n) y[i] = x[i] + weight[i % columns];
            }"""
            b.kernel(
                cg.CudaSource(text, name="offset.cu"),
                elements=self.y.size, x=self.x, weight=self.weight, y=self.y, columns=len(weight), n=self.y.size,
            )  # fmt: skip


class Accumulate(cg.Block):
    """total += x each frame; y = total."""

    def __init__(self, init: float = 0.0) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", ("n",))
            self.total = b.state("total", ("n",), "float32", init)
            self.y = b.output("y", ("n",))
            b.kernel(
                cg.CudaSource(ACCUMULATE, name="accumulate.cu"),
                elements=self.y.size,
                x=self.x,
                total=self.total,
                y=self.y,
                n="n",
            )


class Filter(cg.Block):
    """Appends every x above a threshold."""

    def __init__(self, threshold: float = 0.0, capacity: int = 1024) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.threshold = b.parameter("threshold", threshold)
            self.kept = b.append_output("kept", "float32", capacity)
            b.kernel(
                cg.CudaSource(FILTER, name="filter.cu"),
                elements=self.x.size, x=self.x, out=self.kept, count=self.kept.count, threshold=self.threshold,
                n=self.x.size, capacity=capacity,
            )  # fmt: skip


class HalveCount(cg.Block):
    """Reads an append counter on the device."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.count = b.input("count", (), "uint32")
            self.half = b.output("half", (), "uint32")
            b.kernel(cg.CudaSource(HALVE_COUNT), grid=1, threads=1, count=self.count, half_count=self.half)


class Delay(cg.Block):
    """y = x of the frame before."""

    def __init__(self, init: float = 0.0) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.y = b.delay(self.x, init, name="y")


class Double(cg.Block):
    """x *= 2, in the memory of x where that is allowed."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.y = b.output("y", self.x.shape, inplace=self.x)
            text = """extern "C" __global__ void twice(float* y, long long n) {
                long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
                if (i < n) y[i] *= 2.0f;
            }"""
            b.kernel(cg.CudaSource(text, name="twice.cu"), elements=self.y.size, y=self.y, n=self.y.size)


class Power(cg.Block):
    """y = x to a power that the kernel is compiled for."""

    def __init__(self, exponent: int = 1) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.exponent = b.option("exponent", exponent, (1, 2, 3))
            self.y = b.output("y", self.x.shape)
            text = """extern "C" __global__ void power(const float* x, float* y, long long n) {
                long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
                if (i >= n) return;
                float product = 1.0f;
                for (int k = 0; k < EXPONENT; ++k) product *= x[i];
                y[i] = product;
            }"""
            source = cg.CudaSource(text, name="power.cu")
            count = self.y.size
            b.kernel(source, elements=count, define={"EXPONENT": self.exponent}, x=self.x, y=self.y, n=count)


class Gemm(cg.Block):
    """c = epilogue(alpha * a @ b)."""

    def __init__(self, alpha: float = 1.0, epilogue: str = "none") -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.a = b.input("a", ("m", "k"))
            self.b = b.input("b", ("k", "n"))
            self.alpha = b.parameter("alpha", alpha)
            self.epilogue = b.option("epilogue", epilogue, ("none", "relu"))
            self.c = b.output("c", ("m", "n"))
            b.library("cublas.gemm", a=self.a, b=self.b, c=self.c, alpha=self.alpha, epilogue=self.epilogue)


class Chain(cg.Block):
    """Scale then shift, as a composite with exposed parameters."""

    def __init__(self, factor: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.scale = Scale(factor)
            self.shift = Shift(offset)
            self.y = b.expose(b.apply(self.shift, b.apply(self.scale, self.x)), "y")
            self.factor = b.expose(self.scale.factor, "factor")
            self.offset = b.expose(self.shift.offset, "offset")
