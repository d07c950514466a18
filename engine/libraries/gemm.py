"""Matrix multiplication on the host: what `cublas.gemm` computes, with NumPy's BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np

_GELU_SCALE = 0.7978845608028654  # sqrt(2 / pi)
_BLOCK = 1 << 20  # elements of a 16-bit matrix that are widened at a time: they stay in the cache for the product


def gemm(operands: dict[str, np.ndarray], options: dict[str, Any]) -> None:
    """c = epilogue(alpha * op(a) @ op(b) + beta * c_in + bias), accumulated in float32 (float64 for float64)."""
    c = operands["c"]
    wide = np.float64 if c.dtype == np.float64 else np.float32
    alpha, beta = operands["alpha"].item(), operands["beta"].item()
    result = c if c.dtype == wide else np.empty(c.shape, wide)
    addend = operands.get("c_in") if beta != 0.0 else None
    if addend is not None and np.may_share_memory(addend, result):
        addend = addend.copy()
    _multiply(operands["a"], operands["b"], options["transpose_a"], options["transpose_b"], result)
    if alpha != 1.0:
        result *= wide(alpha)
    if addend is not None:
        result += addend if beta == 1.0 else wide(beta) * widened(addend)
    if "bias" in operands:
        result += operands["bias"]
    _epilogue(result, options["epilogue"])
    if result is not c:
        c[...] = result


def _multiply(a: np.ndarray, b: np.ndarray, transpose_a: bool, transpose_b: bool, result: np.ndarray) -> None:
    a = widened(a)
    if b.ndim == 2 and a.ndim > 2 and not transpose_a:  # one tall product instead of many small ones
        a, result = a.reshape(-1, a.shape[-1]), result.reshape(-1, result.shape[-1])
    a = a.swapaxes(-1, -2) if transpose_a else a
    if b.ndim != 2 or b.dtype == result.dtype or b.size <= _BLOCK:
        wide = widened(b)
        np.matmul(a, wide.swapaxes(-1, -2) if transpose_b else wide, out=result)
        return
    columns = b.shape[0] if transpose_b else b.shape[1]
    step = max(1, _BLOCK * columns // b.size)
    for at in range(0, columns, step):
        part = widened(b[at : at + step]).T if transpose_b else widened(b[:, at : at + step])
        result[..., at : at + step] = a @ part


def widened(array: np.ndarray) -> np.ndarray:
    """A 16-bit array in float32; others as they are."""
    if array.dtype.itemsize != 2:
        return array
    if array.dtype == np.float16:
        return array.astype(np.float32)
    bits = array.view(np.uint16).astype(np.uint32)  # bfloat16 is the upper half of a float32
    bits <<= 16
    return bits.view(np.float32)


def _epilogue(values: np.ndarray, name: str) -> None:
    if name == "relu":
        np.maximum(values, 0, out=values)
    elif name == "gelu_tanh":
        inner = values * values
        inner *= 0.044715
        inner += 1
        inner *= values
        inner *= _GELU_SCALE
        np.tanh(inner, out=inner)
        inner += 1
        inner *= 0.5
        values *= inner
