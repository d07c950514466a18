"""cublas.gemm against NumPy in float64."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from cudagraph.engine.devices.cuda.gemm_shape import gemm_shape
from cudagraph.engine.devices.cuda.libraries import Operand
from cudagraph.errors import DeviceError

TOLERANCE = {"float32": 1e-5, "float64": 1e-12, "float16": 2e-2, "bfloat16": 1e-1}


def dtype_of(name):
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def values(shape, dtype, seed):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def expected(a, b, options, bias=None, alpha=1.0, beta=0.0, c_in=None):
    a, b = a.astype(np.float64), b.astype(np.float64)
    a = np.swapaxes(a, -1, -2) if options.get("transpose_a") else a
    b = np.swapaxes(b, -1, -2) if options.get("transpose_b") else b
    c = alpha * (a @ b)
    c = c if c_in is None else c + beta * c_in.astype(np.float64)
    c = c if bias is None else c + bias.astype(np.float64)
    return {"none": lambda x: x, "relu": lambda x: np.maximum(x, 0), "gelu_tanh": gelu}[
        options.get("epilogue", "none")
    ](c)


@pytest.fixture
def product(make, run):
    """Runs one product and returns the maker, the executable, the operands and the result."""

    def product(a, b, c_shape, options=None, **more):
        buffers = {}
        for name, array in {"a": a, "b": b, **more}.items():
            buffers[name] = make.buffer(array.shape, array.dtype)
            make.write(buffers[name], array)
        buffers["c"] = make.buffer(c_shape, a.dtype)
        make.device.fill(make.addresses[buffers["c"]], make.buffers[buffers["c"]].nbytes, 0xFF)
        make.library("cublas.gemm", options=options, **buffers)
        executable = make.build()
        run(executable)
        return executable, buffers, make.read(buffers["c"])

    return product


@pytest.mark.parametrize("name", TOLERANCE)
@pytest.mark.parametrize(("transpose_a", "transpose_b"), [(False, False), (True, False), (False, True), (True, True)])
def test_every_type_and_orientation(product, name, transpose_a, transpose_b):
    a = values((9, 5) if transpose_a else (5, 9), dtype_of(name), 1)
    b = values((7, 9) if transpose_b else (9, 7), dtype_of(name), 2)
    options = {"transpose_a": transpose_a, "transpose_b": transpose_b}
    _, _, c = product(a, b, (5, 7), options)
    np.testing.assert_allclose(c.astype(np.float64), expected(a, b, options), atol=TOLERANCE[name])


@pytest.mark.parametrize("epilogue", ["none", "relu", "gelu_tanh"])
@pytest.mark.parametrize("with_bias", [False, True])
def test_epilogues_and_bias(product, epilogue, with_bias):
    a, b, bias = values((6, 4), np.float32, 1), values((4, 10), np.float32, 2), values((10,), np.float32, 3)
    more = {"bias": bias} if with_bias else {}
    _, _, c = product(a, b, (6, 10), {"epilogue": epilogue}, **more)
    np.testing.assert_allclose(c, expected(a, b, {"epilogue": epilogue}, **more), atol=1e-5)


@pytest.mark.parametrize(
    ("a_shape", "b_shape", "c_shape", "options"),
    [
        ((3, 5, 4), (3, 4, 6), (3, 5, 6), {}),
        ((2, 3, 5, 4), (4, 6), (2, 3, 5, 6), {}),
        ((5, 4), (3, 4, 6), (3, 5, 6), {}),
        ((3, 4, 5), (6, 4), (3, 5, 6), {"transpose_a": True, "transpose_b": True}),
        ((3, 1, 5, 4), (2, 4, 6), (3, 2, 5, 6), {}),
        ((3, 1, 5, 4), (1, 2, 6, 4), (3, 2, 5, 6), {"transpose_b": True}),
        ((2, 3, 5, 4), (2, 1, 4, 6), (2, 3, 5, 6), {}),
        ((2, 1, 3, 5, 4), (3, 1, 4, 6), (2, 3, 3, 5, 6), {}),
        ((4,), (3, 4, 6), (3, 6), {}),
        ((2, 5, 4), (4,), (2, 5), {}),
        ((4,), (4,), (), {}),
    ],
)
def test_batches(product, a_shape, b_shape, c_shape, options):
    a, b, bias = values(a_shape, np.float32, 1), values(b_shape, np.float32, 2), values(c_shape[-1:], np.float32, 3)
    more = {"bias": bias} if min(a.ndim, b.ndim) > 1 else {}
    _, _, c = product(a, b, c_shape, options, **more)
    np.testing.assert_allclose(c, expected(a, b, options, **more), atol=1e-5)


def test_batches_that_step_alike_are_one_call():
    def calls(a, b, c):
        operands = {"a": a, "b": b, "c": c}
        shape = gemm_shape({name: Operand(0, lengths, np.dtype("f4")) for name, lengths in operands.items()}, {})
        return shape.batch, len(shape.calls), shape.n

    assert calls((2, 3, 5, 4), (2, 3, 4, 6), (2, 3, 5, 6)) == (6, 1, 5)
    assert calls((2, 3, 5, 4), (1, 1, 4, 6), (2, 3, 5, 6)) == (1, 1, 30)  # a shared weight: one tall product
    assert calls((2, 3, 5, 4), (2, 1, 4, 6), (2, 3, 5, 6)) == (2, 1, 15)
    assert calls((5, 4), (2, 3, 4, 6), (2, 3, 5, 6)) == (6, 1, 5)
    assert calls((7, 1, 5, 4), (3, 4, 6), (7, 3, 5, 6)) == (7, 3, 5)


def test_scalars_on_the_device_are_read_each_frame_and_without_an_addend_nothing_is_added(make, product, run, driver):
    a, b = values((5, 4), np.float32, 1), values((4, 6), np.float32, 2)
    executable, buffers, c = product(a, b, (5, 6), alpha=np.float32(2), beta=np.float32(1))
    np.testing.assert_allclose(c, expected(a, b, {}, alpha=2), atol=1e-5)
    make.write(buffers["alpha"], -3)
    driver.take()
    run(executable)
    assert driver.take() == ["cuGraphLaunch"]
    np.testing.assert_allclose(make.read(buffers["c"]), expected(a, b, {}, alpha=-3), atol=1e-5)


def test_an_addend(product):
    a, b, c_in = values((5, 4), np.float64, 1), values((4, 6), np.float64, 2), values((5, 6), np.float64, 3)
    _, _, c = product(a, b, (5, 6), alpha=np.float64(0.5), beta=np.float64(-2), c_in=c_in)
    np.testing.assert_allclose(c, expected(a, b, {}, alpha=0.5, beta=-2, c_in=c_in), atol=1e-12)


def test_options_recapture_that_call_only(make, product, run, driver):
    a, b = values((5, 4), np.float32, 1), values((4, 6), np.float32, 2)
    executable, buffers, _ = product(a, b, (5, 6))
    driver.take("cu")
    executable.set_options(0, {"epilogue": "relu"})
    run(executable)
    calls = driver.take("cu")
    assert calls.count("cuStreamBeginCapture") == 1 and calls.count("cuGraphExecChildGraphNodeSetParams") == 1
    assert "cuGraphInstantiate" not in calls and "cuGraphExecUpdate" not in calls
    np.testing.assert_allclose(make.read(buffers["c"]), expected(a, b, {"epilogue": "relu"}), atol=1e-5)


def test_wrong_options_leave_the_call_as_it_was(make, product, run):
    a, b = values((5, 4), np.float32, 1), values((4, 6), np.float32, 2)
    executable, buffers, c = product(a, b, (5, 6))
    with pytest.raises(DeviceError, match="has no epilogue 'swish'; choose none, relu, gelu"):
        executable.set_options(0, {"epilogue": "swish"})
    with pytest.raises(DeviceError, match="cannot multiply"):
        executable.set_options(0, {"transpose_a": True})
    run(executable)
    np.testing.assert_array_equal(make.read(buffers["c"]), c)


def test_an_operand_may_move(make, product, device, run):
    a, b = values((5, 4), np.float32, 1), values((4, 6), np.float32, 2)
    executable, buffers, _ = product(a, b, (5, 6), bias=np.zeros(6, np.float32))
    bias = device.allocate(24)
    device.upload(bias, np.arange(6, dtype=np.float32))
    executable.set_address(buffers["bias"], bias)
    run(executable)
    np.testing.assert_allclose(make.read(buffers["c"]), expected(a, b, {}) + np.arange(6), atol=1e-5)


def test_a_replacement_keeps_the_operation_and_its_algorithm(make, product, another, driver):
    a, b = values((5, 4), np.float32, 1), values((4, 6), np.float32, 2)
    executable, _, _ = product(a, b, (5, 6))
    work = executable._bound.works[0]
    plan = make.plan()
    make.fill(make.buffer(4), 0)
    executable.replace(make.plan(), make.addresses, make.kernels())
    assert executable._bound.works[0].operation is work.operation and len(plan.nodes) == 1


def test_nothing_to_multiply_is_nothing_to_do(product):
    _, _, c = product(np.zeros((0, 4), np.float32), np.zeros((4, 6), np.float32), (0, 6))
    assert c.shape == (0, 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": ((), "float32")}, "multiplies matrices"),
        ({"b": ((5, 6), "float32")}, r"op\(a\) \[5, 4\] by op\(b\) \[5, 6\]"),
        ({"b": ((4, 6), "float64")}, "b is float64, but for c of float32 it has to be float32"),
        ({"alpha": ((), "float64")}, "alpha is float64, but for c of float32 it has to be float32"),
        ({"bias": ((5,), "float32")}, "bias is .5,.; c .5, 6. wants one per column"),
        ({"c_in": ((6, 5), "float32")}, r"c_in is \(6, 5\), c is \(5, 6\)"),
        (
            {"a": ((2, 5, 4), "float32"), "b": ((3, 4, 6), "float32")},
            r"a has batches \(2,\), b has \(3,\), which do not",
        ),
        ({n: (s, "int32") for n, s in (("a", (5, 4)), ("b", (4, 6)), ("c", (5, 6)))}, "works on float32, float64"),
    ],
)
def test_wrong_operands_are_named(change, message):
    shapes = {"a": ((5, 4), "float32"), "b": ((4, 6), "float32"), "c": ((5, 6), "float32")} | change
    operands = {name: Operand(0, shape, np.dtype(dtype)) for name, (shape, dtype) in shapes.items()}
    with pytest.raises(DeviceError, match=message):
        gemm_shape(operands, {})
