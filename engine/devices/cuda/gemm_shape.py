"""A row-major matrix product as cuBLASLt sees it: column-major, so with its operands swapped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cudagraph.errors import DeviceError

from .libraries import Operands, Options

EPILOGUES = ("none", "relu", "gelu")
_DTYPES = ("float32", "float64", "float16", "bfloat16")

Matrix = tuple[int, int, int, int]  # rows, columns, leading dimension, elements from one batch entry to the next


@dataclass(frozen=True, slots=True)
class GemmShape:
    """Everything that decides descriptors and algorithm. `first` is b, `second` is a: C^T = op(b)^T op(a)^T."""

    dtype: np.dtype[Any]
    m: int  # columns of the row-major result
    n: int  # its rows
    k: int
    batch: int
    first: Matrix
    second: Matrix
    transpose_first: bool
    transpose_second: bool
    epilogue: str
    has_bias: bool
    device_scalars: bool
    tf32: bool

    @property
    def result(self) -> Matrix:
        """The output matrix."""
        return self.m, self.n, self.m, self.m * self.n

    @property
    def scalar_dtype(self) -> np.dtype[Any]:
        """The type of alpha and beta."""
        return np.dtype(np.float64 if self.dtype == np.float64 else np.float32)


def gemm_shape(operands: Operands, options: Options) -> GemmShape:
    """The checked shape of `c = epilogue(alpha * op(a) @ op(b) + beta * c_in + bias)`, or `DeviceError`."""
    a, b, c = operands["a"], operands["b"], operands["c"]
    transpose_a, transpose_b = bool(options.get("transpose_a")), bool(options.get("transpose_b"))
    _check_dtypes(operands)
    _check_epilogue(options)
    shape, result = a.shape, c.shape
    if len(shape) == 1 and not transpose_a:
        shape, result = (1, *shape), (*result[:-1], 1, *result[-1:])  # a vector is a matrix of one row
    if min(len(shape), len(b.shape), len(result)) < 2:
        raise DeviceError(f"cublas.gemm multiplies matrices: a is {a.shape}, b is {b.shape}, c is {c.shape}")
    rows, inner = _oriented(shape, transpose_a)
    b_inner, columns = _oriented(b.shape, transpose_b)
    batch = _batch(shape[:-2], b.shape[:-2])
    if inner != b_inner or result != (*batch, rows, columns):
        raise DeviceError(
            f"cublas.gemm cannot multiply op(a) [{rows}, {inner}] by op(b) [{b_inner}, {columns}] in batches {batch} "
            f"into c {c.shape}"
        )
    count = int(np.prod(batch, dtype=np.int64))
    if len(b.shape) == 2 and not transpose_a:
        rows, count, a_shape = rows * count, 1, (rows * count, inner)  # one tall product instead of many small ones
    else:
        a_shape = shape
    return GemmShape(
        dtype=c.dtype,
        m=columns,
        n=rows,
        k=inner,
        batch=count,
        first=_matrix(b.shape),
        second=_matrix(a_shape),
        transpose_first=transpose_b,
        transpose_second=transpose_a,
        epilogue=str(options.get("epilogue", "none")),
        has_bias="bias" in operands,
        device_scalars="alpha" in operands or "c_in" in operands,
        tf32=bool(options.get("tf32")) and c.dtype == np.float32,
    )


def _matrix(shape: tuple[int, ...]) -> Matrix:
    """A row-major matrix, read as the column-major one in the same memory."""
    rows, columns = shape[-2:]
    return columns, rows, columns, rows * columns if len(shape) > 2 else 0


def _oriented(shape: tuple[int, ...], transpose: bool) -> tuple[int, int]:
    rows, columns = shape[-2:]
    return (columns, rows) if transpose else (rows, columns)


def _batch(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    if a and b and a != b:
        raise DeviceError(f"cublas.gemm: a has batches {a}, b has {b}; they have to be equal, or one of them absent")
    return a or b


def _check_dtypes(operands: Operands) -> None:
    dtype = operands["c"].dtype
    if dtype.name not in _DTYPES:
        raise DeviceError(f"cublas.gemm works on {', '.join(_DTYPES)}; c is {dtype}")
    scalar = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    for name, operand in operands.items():
        wanted = scalar if name in ("alpha", "beta") else dtype
        if operand.dtype != wanted:
            raise DeviceError(f"cublas.gemm: {name} is {operand.dtype}, but for c of {dtype} it has to be {wanted}")
    bias, c_in = operands.get("bias"), operands.get("c_in")
    if bias is not None and bias.shape != operands["c"].shape[-1:]:
        raise DeviceError(f"cublas.gemm: bias is {bias.shape}; c {operands['c'].shape} wants one per column")
    if c_in is not None and c_in.shape != operands["c"].shape:
        raise DeviceError(f"cublas.gemm: c_in is {c_in.shape}, c is {operands['c'].shape}; they have to be equal")


def _check_epilogue(options: Options) -> None:
    if options.get("epilogue", "none") not in EPILOGUES:
        raise DeviceError(f"cublas.gemm has no epilogue {options['epilogue']!r}; choose {', '.join(EPILOGUES)}")
