"""y = activation(alpha * x @ weight.T + bias + residual), by the work that suits the number of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.option import Option
from cudagraph.parameter import Parameter
from cudagraph.port import Port
from cudagraph.shape import Size, ceil_div, equal, maximum
from cudagraph.tensor import Weight
from cudagraph.work import Operand

from ..activation.launch import row_launch
from .normed import Norm

FLOATING = ("float16", "bfloat16", "float32", "float64")
_FEW = 8  # rows up to which a product reads its weights from memory only once, by one kernel
_WARPS = 2112  # that keep every multiprocessor of a large GPU loading
_NORMED = 48 << 10  # bytes of normalised rows that a thread block may keep


def linear_product(
    b: BlockBuilder,
    x: Operand,
    weight: Weight | Port,
    y: Operand,
    *,
    bias: Operand | None = None,
    residual: Port | None = None,
    alpha: Parameter[float] | None = None,
    activation: Option | str = "none",
    fused: bool = True,
    library: bool = True,
    norm: Norm | None = None,
) -> None:
    """Describe the product. `fused`: the library's epilogue has the activation; not `library`: by our kernels.

    `norm` is that of x: part of the kernel for a few rows, and a launch of its own for more.
    """
    columns, inner = weight.shape[0], weight.shape[1]
    product = y if library and fused else b.scratch(y.shape, y.dtype)
    rows = x.size // inner
    few = (rows >= 1) * (rows <= _FEW) if library else 0

    def by_kernel(x: Operand, norm: Norm | None) -> None:
        matrix_vector(b, x, weight, y, columns, inner, bias, residual, alpha, activation, norm=norm)

    x = _of_few_rows(b, x, few, norm, by_kernel)
    with b.where(equal(few, 0)):
        if not library:
            tiled_product(b, x, weight, product, columns, inner)
            activate_columns(b, product, y, rows, columns, activation, bias, residual, alpha)
            return
        more: dict[str, Any] = {} if residual is None else {"c_in": residual, "beta": 1.0}
        more |= {} if alpha is None else {"alpha": alpha}
        if fused:
            more |= {"epilogue": activation} | ({} if bias is None else {"bias": bias})
        b.library("cublas.gemm", a=x, b=weight, c=product, transpose_b=True, **more)
        if not fused:
            activate_columns(b, product, y, rows, columns, activation, bias)


def _of_few_rows(
    b: BlockBuilder, x: Operand, few: Size | int, norm: Norm | None, product: Callable[[Operand, Norm | None], None]
) -> Operand:
    """Describe `product(x, norm)` where there are few rows; gives what others multiply: x, or x normalised."""
    if norm is None:
        with b.where(few):
            product(x, None)
        return x
    normed = b.scratch(x.shape, norm.weight.dtype)
    fits = few * (x.size <= _NORMED // np.dtype(norm.weight.dtype).itemsize)
    with b.where(fits):
        product(x, norm)
    with b.where(equal(fits, 0)):
        norm.describe(b, x, normed)
    with b.where(few * equal(fits, 0)):
        product(normed, None)
    return normed


def matrix_vector(
    b: BlockBuilder,
    x: Operand,
    weight: Operand,
    y: Operand,
    columns: int | Size,
    inner: int | Size,
    bias: Operand | None = None,
    residual: Operand | None = None,
    alpha: Parameter[float] | None = None,
    activation: Option | str = "none",
    *,
    gated: int = 0,
    norm: Norm | None = None,
) -> None:
    """The kernel for one to eight rows. `gated` is 1 for rows of weights that hold gates and then values, 2 for the
    other way round."""
    none = {"norm_weight": weight, "norm_bias": weight, "eps": 0.0}
    split = _split(columns, inner) if isinstance(columns, int) and isinstance(inner, int) else 1
    each = 8 // split if gated else 16 // split
    b.kernel(
        "channel_mixing/gemv",
        threads=256,
        grid=ceil_div(columns, each),
        define={
            "ROWS": x.size // inner,
            "SPLIT": split,
            "GATED": gated,
            **_present(y, bias, residual),
            "ACTIVATION": activation,
            **({} if norm is None else norm.define()),
        },
        shared=0 if norm is None else x.size * np.dtype(norm.weight.dtype).itemsize,
        x=x,
        weight=weight,
        bias=weight if bias is None else bias,
        residual=x if residual is None else residual,
        y=y,
        alpha=1.0 if alpha is None else alpha,
        columns=columns,
        inner=inner,
        **(none if norm is None else norm.arguments()),
    )


def gated_product(
    b: BlockBuilder,
    x: Operand,
    weight: Weight,
    y: Port,
    *,
    bias: Weight | None,
    activation: Option | str,
    value_first: bool = False,
    library: bool = True,
    norm: Norm | None = None,
) -> None:
    """Describe y = activation(gate) * value, where gate and value are the halves of x @ weight.T + bias."""
    both, inner = weight.shape[0], weight.shape[1]
    product = b.scratch((*y.shape[:-1], both), y.dtype)
    sums = b.scratch(product.shape, y.dtype) if bias is not None and not library else product
    rows = x.size // inner
    few = (rows >= 1) * (rows <= _FEW) if library else 0

    def by_kernel(x: Operand, norm: Norm | None) -> None:
        gated = 2 if value_first else 1
        matrix_vector(b, x, weight, y, both // 2, inner, bias, activation=activation, gated=gated, norm=norm)

    x = _of_few_rows(b, x, few, norm, by_kernel)
    with b.where(equal(few, 0)):
        if library:
            more = {} if bias is None else {"bias": bias}
            b.library("cublas.gemm", a=x, b=weight, c=product, transpose_b=True, **more)
        else:
            tiled_product(b, x, weight, sums, both, inner)
            if bias is not None:
                activate_columns(b, sums, product, rows, both, "none", bias)
        gate_columns(b, product, y, both // 2, activation, value_first=value_first)


def gate_columns(
    b: BlockBuilder,
    product: Operand,
    y: Port,
    columns: int,
    activation: Option | str,
    *,
    value_first: bool = False,
) -> None:
    """y = activation(gate) * value from rows that hold both."""
    define = {"GATE": int(value_first), "ACTIVATION": activation}
    launch = row_launch(y.rows, columns)
    b.kernel("activation/gated", define=define, x=product, y=y, rows=y.rows, columns=columns, **launch)


def tiled_product(
    b: BlockBuilder, x: Operand, weight: Operand, product: Operand, columns: int | Size, inner: int | Size
) -> None:
    """The product by a kernel that can be edited."""
    rows = x.size // inner
    b.kernel(
        "channel_mixing/matmul",
        threads=(16, 16),
        grid=(maximum(1, ceil_div(rows, 64)), ceil_div(columns, 64)),
        x=x,
        weight=weight,
        y=product,
        rows=rows,
        columns=columns,
        inner=inner,
    )


def activate_columns(
    b: BlockBuilder,
    product: Operand,
    y: Operand,
    rows: Size,
    columns: int | Size,
    activation: Option | str,
    bias: Operand | None = None,
    residual: Port | None = None,
    alpha: Parameter[float] | None = None,
) -> None:
    """What is left to do with a product, element by element."""
    threads = _row_threads(columns)
    b.kernel(
        "channel_mixing/bias_activation",
        threads=threads,
        grid=maximum(1, rows * ceil_div(columns, 4 * threads)),
        define={**_present(y, bias, residual), "ACTIVATION": activation},
        x=product,
        bias=product if bias is None else bias,
        residual=product if residual is None else residual,
        y=y,
        alpha=1.0 if alpha is None else alpha,
        rows=rows,
        columns=columns,
    )


def _row_threads(columns: int | Size) -> int:
    """Threads for the columns of a row, four to each."""
    return min(256, max(32, -(-columns // 128) * 32)) if isinstance(columns, int) else 256


def scalar_type(dtype: object) -> str:
    """What alpha is for tensors of a type."""
    return "float64" if np.dtype(np.float64) == dtype else "float32"


def uniform(random: np.random.Generator, bound: float) -> Callable[[tuple[int, ...], np.dtype[Any]], np.ndarray]:
    """Values in +-bound, as torch starts a linear layer."""
    return lambda shape, dtype: random.uniform(-bound, bound, shape).astype(dtype)


def check_features(kind: str, in_features: int, out_features: int, dtype: str) -> None:
    """`DescriptionError` where there is nothing to multiply, or not in a type that can be."""
    if in_features < 1 or out_features < 1:
        raise DescriptionError(f"{kind} has at least one feature on each side, not {in_features} -> {out_features}")
    if dtype not in FLOATING:
        raise DescriptionError(f"{kind} computes in {', '.join(FLOATING)}, not {dtype!r}")


def _present(y: Operand, bias: Operand | None, residual: Operand | None) -> dict[str, Any]:
    scalar = "double" if scalar_type(y.dtype) == "float64" else "float"
    return {"BIAS": int(bias is not None), "RESIDUAL": int(residual is not None), "SCALAR": scalar}


def _split(columns: int, inner: int) -> int:
    """How many warps share two columns, so that a GPU has enough of them and each enough to load."""
    split = 1
    while split < 8 and columns * split < 2 * _WARPS and inner >= 512 * split:
        split *= 2
    return split


def next_seed(seed: int | None) -> int | None:
    """The seed of the next layer, so that no two layers start alike."""
    return None if seed is None else seed + 1


def inside(values: Mapping[str, Any], child: str) -> dict[str, Any]:
    """The values of a child, out of those by path."""
    prefix = f"{child}/"
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
