"""Matrix multiplication on the host: what `cublas.gemm` computes, with NumPy's BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np

_GELU_SCALE = 0.7978845608028654  # sqrt(2 / pi); cuBLASLt's GELU epilogue is the tanh approximation too


def gemm(operands: dict[str, np.ndarray], options: dict[str, Any]) -> None:
    """c = epilogue(alpha * op(a) @ op(b) + beta * c_in + bias), accumulated in float32 (float64 for float64)."""
    c = operands["c"]
    wide = np.float64 if c.dtype == np.float64 else np.float32
    a = _operand(operands["a"], options["transpose_a"], wide)
    b = _operand(operands["b"], options["transpose_b"], wide)
    alpha, beta = operands["alpha"].item(), operands["beta"].item()
    result = c if c.dtype == wide else np.empty(c.shape, wide)
    before = operands["c_in"].astype(wide) if beta != 0.0 and "c_in" in operands else None
    np.matmul(a, b, out=result)
    if alpha != 1.0:
        result *= wide(alpha)
    if before is not None:
        result += wide(beta) * before
    if "bias" in operands:
        result += operands["bias"]
    _epilogue(result, options["epilogue"])
    if result is not c:
        c[...] = result


def _operand(array: np.ndarray, transpose: bool, wide: type) -> np.ndarray:
    array = array if array.dtype == wide else array.astype(wide)
    return array.swapaxes(-1, -2) if transpose else array


def _epilogue(values: np.ndarray, name: str) -> None:
    if name == "relu":
        np.maximum(values, 0, out=values)
    elif name == "gelu":
        inner = _GELU_SCALE * (values + 0.044715 * values**3)
        values *= 0.5 * (1 + np.tanh(inner))
