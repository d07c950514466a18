"""A row-major matrix product as cuBLASLt sees it: column-major, so with its operands swapped."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cudagraph.errors import DeviceError

from .libraries import Operands, Options

EPILOGUES = {"none": "", "relu": "RELU", "gelu_tanh": "GELU"}
"""Names of ours and of cuBLASLt, whose GELU is the tanh form."""

_DTYPES = ("float32", "float64", "float16", "bfloat16")

Matrix = tuple[int, int, int, int]  # rows, columns, leading dimension, elements from one batch entry to the next
Batch = tuple[int, int, int, int]  # a batch dimension: its length, and how far apart its entries are in a, b and c


@dataclass(frozen=True, slots=True)
class GemmShape:
    """Everything that decides descriptors and algorithm. `first` is b, `second` is a: C^T = op(b)^T op(a)^T."""

    dtype: np.dtype[Any]
    m: int  # columns of the row-major result
    n: int  # its rows
    k: int
    batch: int
    calls: tuple[tuple[int, int, int], ...]  # where in a, b and c each call begins, in elements
    first: Matrix
    second: Matrix
    result: Matrix
    transpose_first: bool
    transpose_second: bool
    epilogue: str
    has_bias: bool
    device_scalars: bool
    tf32: bool

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
    a_shape, b_shape, result = _as_matrices(a.shape, b.shape, c.shape, (transpose_a, transpose_b))
    if min(len(a_shape), len(b_shape), len(result)) < 2:
        raise DeviceError(f"cublas.gemm multiplies matrices: a is {a.shape}, b is {b.shape}, c is {c.shape}")
    rows, inner = _oriented(a_shape, transpose_a)
    b_inner, columns = _oriented(b_shape, transpose_b)
    batch = _batch(a_shape[:-2], b_shape[:-2])
    if inner != b_inner or result != (*batch, rows, columns):
        raise DeviceError(
            f"cublas.gemm cannot multiply op(a) [{rows}, {inner}] by op(b) [{b_inner}, {columns}] in batches {batch} "
            f"into c {c.shape}"
        )
    batches = _merged(batch, a_shape, b_shape, result)
    if batches and not transpose_a and batches[-1][1:] == (rows * inner, 0, rows * columns):
        rows *= batches.pop()[0]  # one tall product instead of many small ones
    a_matrix = (*a_shape[:-2], rows, inner) if not transpose_a else a_shape
    strided, calls = _split(batches)
    return GemmShape(
        dtype=c.dtype,
        m=columns,
        n=rows,
        k=inner,
        batch=strided[0],
        calls=calls,
        first=_matrix(b_shape, strided[2]),
        second=_matrix(a_matrix, strided[1]),
        result=(columns, rows, columns, strided[3]),
        transpose_first=transpose_b,
        transpose_second=transpose_a,
        epilogue=str(options.get("epilogue", "none")),
        has_bias="bias" in operands,
        device_scalars="alpha" in operands or "c_in" in operands,
        tf32=bool(options.get("tf32")) and c.dtype == np.float32,
    )


Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def _as_matrices(a: tuple[int, ...], b: tuple[int, ...], c: tuple[int, ...], transposed: tuple[bool, bool]) -> Shapes:
    """A vector a is a matrix of one row, a vector b one of one column; the result lacks that dimension."""
    if len(b) == 1 and not transposed[1]:
        b, c = (*b, 1), (*c, 1)
    if len(a) == 1 and not transposed[0]:
        a, c = (1, *a), (*c[:-1], 1, *c[-1:])
    return a, b, c


def _matrix(shape: tuple[int, ...], stride: int) -> Matrix:
    """A row-major matrix, read as the column-major one in the same memory."""
    rows, columns = shape[-2:]
    return columns, rows, columns, stride


def _merged(batch: tuple[int, ...], *shapes: tuple[int, ...]) -> list[Batch]:
    """The batch dimensions, outermost first, joined where all operands step through them as through one."""
    strides = [_strides(shape, len(batch)) for shape in shapes]
    merged: list[Batch] = []
    for length, *steps in zip(batch, *strides, strict=True):
        if length == 1:
            continue
        if merged and all(outer == length * step for outer, step in zip(merged[-1][1:], steps, strict=True)):
            length *= merged.pop()[0]
        merged.append((length, *steps))
    return merged


def _strides(shape: tuple[int, ...], rank: int) -> list[int]:
    """Elements between the entries of each of `rank` batch dimensions; 0 where the operand is repeated."""
    lengths = (1,) * (rank + 2 - len(shape)) + shape
    return [0 if lengths[i] == 1 else math.prod(lengths[i + 1 :]) for i in range(rank)]


def _split(batches: list[Batch]) -> tuple[Batch, tuple[tuple[int, int, int], ...]]:
    """The longest dimension, which one call steps through, and where the calls for the other ones begin."""
    if not batches:
        return (1, 0, 0, 0), ((0, 0, 0),)
    strided = max(batches)
    others = [batch for batch in batches if batch is not strided]
    places = itertools.product(*(range(length) for length, *_ in others))
    calls = tuple(
        tuple(sum(at * batch[1 + i] for at, batch in zip(place, others, strict=True)) for i in range(3))
        for place in places
    )
    return strided, calls  # type: ignore[return-value]


def _oriented(shape: tuple[int, ...], transpose: bool) -> tuple[int, int]:
    rows, columns = shape[-2:]
    return (columns, rows) if transpose else (rows, columns)


def _batch(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        raise DeviceError(f"cublas.gemm: a has batches {a}, b has {b}, which do not broadcast") from None


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
