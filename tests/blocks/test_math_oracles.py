"""Arithmetic, broadcasting and reductions against torch: code that nobody here wrote."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph import blocks
from cudagraph.blocks import Bias, Clamp, Normalizer, Scale, TemperatureScaling, Where
from cudagraph.dtypes import parse_dtype

torch: Any = pytest.importorskip("torch")

SPECIAL = np.array([np.nan, -np.inf, np.inf, -0.0, 0.0, -1.5, 2.0, 1e-30], np.float32)
BINARY = {
    "Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Pow": "pow", "Maximum": "maximum", "Minimum": "minimum",
    "Equal": "eq", "Less": "lt", "Greater": "gt",
}  # fmt: skip
UNARY = ("Neg", "Abs", "Exp", "Log", "Sqrt", "Rsqrt", "Reciprocal", "Sin", "Cos", "Square")
REDUCTIONS = {
    "Sum": "sum", "Mean": "mean", "Prod": "prod", "Max": "amax", "Min": "amin", "Var": "var", "Std": "std",
    "ArgMax": "argmax", "ArgMin": "argmin",
}  # fmt: skip
SHAPES = [
    ((7,), (7,)),
    ((3, 1), (1, 5)),
    ((4, 1, 5), (7, 1)),
    ((2, 3), ()),
    ((8, 64), (64,)),
    ((2, 1, 3, 1, 8, 1), (1, 2, 1, 2, 1, 12)),
    ((300, 1), (1, 3)),
    ((0, 3), (3,)),
]


@pytest.fixture(scope="module")
def host():
    with cg.CudaEngine("host") as engine:
        yield engine


def run(engine: cg.CudaEngine, block: Any, *arrays: np.ndarray) -> np.ndarray:
    engine.add(block)
    for port, array in zip(block.inputs, arrays, strict=True):
        engine.bind(port, array)
    engine.update(sync=True)
    assert block.debug.state == "ok", block.debug.message
    result = engine.read(block.outputs[0])
    engine.remove(block)
    return result


def check(given: np.ndarray, expected: Any, tolerance: float = 1e-6) -> None:
    wanted = expected.numpy()
    assert given.shape == wanted.shape
    assert given.dtype == wanted.dtype
    np.testing.assert_allclose(given, wanted, rtol=tolerance, atol=tolerance * 1e-2)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_binary(name, shapes, host):
    random = np.random.default_rng(0)
    a, b = (np.asarray(random.integers(1, 9, shape) / 4, np.float32) for shape in shapes)
    expected = getattr(torch, BINARY[name])(torch.from_numpy(a), torch.from_numpy(b))
    check(run(host, getattr(blocks, name)(), a, b), expected)


@pytest.mark.parametrize("name", BINARY)
def test_nan_and_infinity_of_two(name, host):
    a, b = SPECIAL[:, None], SPECIAL
    expected = getattr(torch, BINARY[name])(torch.from_numpy(a), torch.from_numpy(b))
    check(run(host, getattr(blocks, name)(), a, b), expected)


@pytest.mark.parametrize("name", UNARY)
def test_unary(name, host):
    x = np.concatenate([SPECIAL, np.linspace(-20, 20, 1001, dtype=np.float32)])
    check(run(host, getattr(blocks, name)(), x), getattr(torch, name.lower())(torch.from_numpy(x)))


@pytest.mark.parametrize("bounds", [(-0.5, 0.5), (1.0, -1.0), (0.0, np.inf)])
def test_clamp(bounds, host):
    check(run(host, Clamp(*bounds), SPECIAL), torch.from_numpy(SPECIAL).clamp(*bounds))


def test_where(host):
    condition, a, b = np.array([[True], [False], [True]]), SPECIAL, np.array(3.0, np.float32)
    expected = torch.where(torch.from_numpy(condition), torch.from_numpy(a), torch.tensor(3.0))
    check(run(host, Where(), condition, a, b), expected)


@pytest.mark.parametrize(
    ("axis", "shape"), [(-1, (4, 3, 5)), (-1, (64,)), (1, (2, 5, 3, 4)), (-3, (2, 5, 8)), (0, (5,))]
)
def test_one_number_per_channel(axis, shape, host):
    random = np.random.default_rng(0)
    x = random.standard_normal(shape).astype(np.float32)
    first, second = (0.5 + random.random((2, shape[axis]))).astype(np.float32)
    column = [length if i == axis % len(shape) else 1 for i, length in enumerate(shape)]
    tx, t1, t2 = torch.from_numpy(x), torch.from_numpy(first).reshape(column), torch.from_numpy(second).reshape(column)
    bias = Bias(shape[axis], axis)
    bias.bias.value = first
    check(run(host, bias, x), tx + t1)
    check(run(host, Scale(first, axis=axis), x), tx * t1)
    check(run(host, Normalizer(shape[axis], first, second, axis=axis), x), (tx - t1) / t2)
    check(run(host, TemperatureScaling(0.3), x), tx / 0.3)


REDUCED = [
    (-1, (5, 70)),
    (-1, (5, 3)),
    (0, (70, 5)),
    (1, (2, 33, 7)),
    (-2, (2, 33, 8)),
    (None, (7, 11)),
    (None, (70_000,)),
    (0, (9000, 3)),
    (-1, (2, 40_000)),
    ((-1, -2), (3, 5, 9)),
    ((0, 2, 3), (4, 3, 5, 6)),
    ((0, -1), (4, 3, 5, 6)),
    ((0, 2), (130, 2, 300)),
    ((0, 2), (5, 6, 7, 3)),
]


@pytest.mark.parametrize("keepdim", [False, True], ids=["drop", "keep"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name, keepdim, host):
    random = np.random.default_rng(0)
    tolerance = 5e-5 if name == "Prod" else 1e-5  # every factor of a product rounds
    for dim, shape in REDUCED:
        if name in ("Prod", "ArgMax", "ArgMin") and isinstance(dim, tuple):
            continue
        x = (1 + (0.02 if name == "Prod" else 0.25) * random.standard_normal(shape)).astype(np.float32)
        options: dict[str, Any] = {} if dim is None else {"dim": dim, "keepdim": keepdim}
        wide = torch.from_numpy(x).double()
        expected = getattr(torch, REDUCTIONS[name])(wide, **options)
        if dim is None and keepdim:
            expected = expected.reshape((1,) * len(shape))
        given = run(host, getattr(blocks, name)(dim, keepdim=keepdim), x)
        check(given, expected if name.startswith("Arg") else expected.float(), tolerance)


@pytest.mark.parametrize("shape", [(3, 40), (40, 3), (3, 5)], ids=str)
@pytest.mark.parametrize("name", ["Sum", "Mean", "Max", "Min", "Var", "ArgMax", "ArgMin"])
def test_reductions_of_nan_infinity_and_equals(name, shape, host):
    x = np.zeros(shape, np.float32)
    x[0, 2], x[1, 1:3], x[2, 1] = np.inf, np.nan, -np.inf
    for dim in (0, 1):
        expected = getattr(torch, REDUCTIONS[name])(torch.from_numpy(x), dim=dim)
        check(run(host, getattr(blocks, name)(dim), x), expected)


@pytest.mark.parametrize(("name", "value"), [("Sum", 0.0), ("Prod", 1.0), ("Mean", np.nan)])
def test_reductions_of_nothing(name, value, host):
    np.testing.assert_array_equal(run(host, getattr(blocks, name)(0), np.zeros((0, 3), np.float32)), [value] * 3)


def test_a_variance_far_from_zero_loses_no_digits(host):
    x = (1e4 + np.random.default_rng(0).standard_normal((3, 5000))).astype(np.float32)
    check(run(host, blocks.Var(-1), x), torch.from_numpy(x).double().var(-1).float(), 1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_are_added_in_float(dtype, host):
    """70 000 ones are more than a half can count to; the mean is exact."""
    x = np.ones((2, 70_000), parse_dtype(dtype))
    np.testing.assert_array_equal(run(host, blocks.Mean(-1), x).astype(np.float32), [1, 1])


@pytest.mark.parametrize("name", ["Sum", "Prod"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "bool"])
@pytest.mark.parametrize(
    ("dim", "shape"), [(-1, (5, 70)), (0, (70, 5)), (None, (7, 11)), (0, (9000, 3)), (-1, (2, 40_000))]
)
def test_integers_are_added_in_64_bits(name, dtype, dim, shape, host):
    x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 120, shape).astype(dtype)
    options: dict[str, Any] = {} if dim is None else {"dim": dim}
    expected = getattr(torch, name.lower())(torch.from_numpy(x), **options)
    check(run(host, getattr(blocks, name)(dim, dtype="int64"), x), expected, 0)
    narrow = expected.numpy().astype(dtype) if dtype != "bool" else expected.numpy() != 0
    np.testing.assert_array_equal(run(host, getattr(blocks, name)(dim), x), narrow)


def test_halves_may_be_added_to_a_float(host):
    x = np.ones((2, 70_000), np.float16)
    np.testing.assert_array_equal(run(host, blocks.Sum(-1, dtype="float32"), x), np.full(2, 70_000, np.float32))


@pytest.mark.parametrize("name", ["Max", "Min", "ArgMax", "ArgMin"])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("size", [1, 31, 33, 1023, 1025, 5000])
def test_extremes_at_any_place(name, dtype, size, host):
    """The first of several, in every tile; rising and falling rows; rows that are all the same, or all infinite."""
    random = np.random.default_rng(size)
    rows = [np.arange(size), -np.arange(size), np.zeros(size), random.integers(0, 9, size), random.permutation(size)]
    x = np.array(rows, dtype)
    if dtype == "float32":
        x = np.concatenate([x, np.full((1, size), np.inf, dtype), np.full((1, size), -np.inf, dtype), x])
        x[-5:, size // 2] = np.nan
    reference = {"Max": np.max, "Min": np.min, "ArgMax": np.argmax, "ArgMin": np.argmin}[name]
    for axis in (0, 1):
        array = x if axis else np.ascontiguousarray(x.T)
        np.testing.assert_array_equal(run(host, getattr(blocks, name)(axis), array), reference(array, axis))


@pytest.mark.parametrize(
    ("dim", "shape"),
    [
        (-1, (5, 70)), (-1, (5, 3)), (0, (70, 5)), (1, (2, 33, 7)), (-2, (2, 33, 300)), (0, (7,)), (-1, (70_000,)),
        (0, (9000, 3)), (-1, (2, 40_000)), (1, (3, 1, 4)), (0, (0, 3)), (-1, (2, 3, 4, 1025)),
    ],
)  # fmt: skip
def test_running_sums(dim, shape, host):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    given, expected = run(host, blocks.CumSum(dim), x), torch.from_numpy(x).double().cumsum(dim).numpy()
    assert given.shape == expected.shape
    np.testing.assert_allclose(given, expected, rtol=0, atol=4e-6 * max(1.0, np.abs(expected).max(initial=0)))
    whole = (x * 100).astype(np.int32)
    check(run(host, blocks.CumSum(dim, dtype="int64"), whole), torch.from_numpy(whole).cumsum(dim), 0)


def test_sines_far_from_zero(host):
    random = np.random.default_rng(0)
    x = (10.0 ** random.uniform(4, 38.5, 20_000) * random.choice([-1, 1], 20_000)).astype(np.float32)
    for block, name in ((blocks.Sin(), "sin"), (blocks.Cos(), "cos")):
        expected = getattr(torch, name)(torch.from_numpy(x).double()).numpy()
        np.testing.assert_allclose(run(host, block, x), expected, rtol=0, atol=2e-7)
