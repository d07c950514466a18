"""cudnn.convolution and cudnn.attention on the cuda device, against those of the host."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from devices_under_test import EMULATED

from cudagraph.engine.devices.cuda import cudnn_library
from cudagraph.engine.libraries import HOST_LIBRARY
from cudagraph.errors import DeviceError

pytestmark = pytest.mark.usefixtures("cudnn")
TOLERANCE = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 1e-5, "float64": 1e-12}
CONVOLUTION, ATTENTION = "cudnn.convolution", "cudnn.attention"


def dtype_of(name):
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def values(shape, name="float32", seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype_of(name))


def on_host(operation, options, shape, arrays):
    wide = {"cudnn.convolution": np.float64, "cudnn.attention": np.float16}[operation]
    operands = {name: np.array(a, np.float32 if name == "scale" else wide) for name, a in arrays.items()}
    operands["y"] = np.zeros(shape, wide)
    HOST_LIBRARY[operation](operands, options)
    return operands["y"].astype(np.float64)


@pytest.fixture
def call(make, run):
    """Builds one library call, runs it and returns its executable, buffers and result."""

    def call(operation, options, shape, **arrays):
        dtype = next(iter(arrays.values())).dtype
        buffers = {}
        for name, array in arrays.items():
            buffers[name] = make.buffer(array.shape, array.dtype)
            make.write(buffers[name], array)
        buffers["y"] = make.buffer(shape, dtype)
        make.device.fill(make.addresses[buffers["y"]], make.buffers[buffers["y"]].nbytes, 0xFF)
        make.library(operation, options=options, result="y", **buffers)
        executable = make.build()
        run(executable)
        return executable, buffers, make.read(buffers["y"]).astype(np.float64)

    return call


@pytest.mark.parametrize("name", TOLERANCE)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolutions_of_every_type_and_rank(call, name, rank):
    x, weight = values((2, 6, *(9, 8, 7)[:rank]), name, 1), values((4, 6, *(3, 2, 3)[:rank]), name, 2)
    options = {"before": 1, "after": 0, "stride": (2, 1, 1)[:rank]}
    shape = (2, 4, *(4, 8, 6)[:rank])
    _, _, y = call(CONVOLUTION, options, shape, x=x, weight=weight)
    expected = on_host(CONVOLUTION, options, shape, {"x": x, "weight": weight})
    np.testing.assert_allclose(y, expected, atol=TOLERANCE[name] * 10)


@pytest.mark.parametrize("activation", ["none", "relu"])
@pytest.mark.parametrize("more", [(), ("bias",), ("residual",), ("bias", "residual")])
def test_epilogues_also_without_the_bias_that_fused_engines_want(call, activation, more):
    arrays = {"x": values((2, 4, 5, 5), seed=1), "weight": values((8, 2, 3, 3), seed=2)}
    arrays |= {"bias": values((8,), seed=3)} if "bias" in more else {}
    arrays |= {"residual": values((2, 8, 5, 5), seed=4)} if "residual" in more else {}
    options = {"before": 1, "after": 1, "activation": activation}
    _, _, y = call(CONVOLUTION, options, (2, 8, 5, 5), **arrays)
    np.testing.assert_allclose(y, on_host(CONVOLUTION, options, (2, 8, 5, 5), arrays), atol=1e-5)


def test_float32_keeps_its_digits_unless_tf32_is_asked_for(call):
    x, weight = values((1, 8, 6, 6), seed=1), values((4, 8, 1, 1), seed=2)
    exact = on_host(CONVOLUTION, {}, (1, 4, 6, 6), {"x": x, "weight": weight})
    _, _, y = call(CONVOLUTION, {}, (1, 4, 6, 6), x=x, weight=weight)
    np.testing.assert_allclose(y, exact, atol=1e-6)
    _, _, y = call(CONVOLUTION, {"tf32": True}, (1, 4, 6, 6), x=x, weight=weight)
    np.testing.assert_allclose(y, exact, atol=1e-2)
    assert not EMULATED or np.abs(y - exact).max() > 1e-5


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"causal": True},
        {"causal": True, "aligned": "last"},
        {"window": 3},
        {"window": 5, "aligned": "last"},
        {"window": 2, "causal": True, "aligned": "last"},
    ],
)
def test_attentions_of_every_sight(call, name, options):
    q, k = values((2, 4, 5, 8), name, 1), values((2, 2, 7, 8), name, 2)
    arrays = {"q": q, "k": k, "v": values((2, 2, 7, 16), name, 3), "scale": np.float32(0.7).reshape(())}
    _, _, y = call(ATTENTION, options, (2, 4, 5, 16), **arrays)
    np.testing.assert_allclose(y, on_host(ATTENTION, options, (2, 4, 5, 16), arrays), atol=TOLERANCE[name])


@pytest.mark.parametrize("lead", [(1, 1), (2, 1), (1, 4), (2, 4)])
def test_attention_with_an_additive_mask(call, lead):
    q, k = values((2, 4, 5, 8), "float16", 1), values((2, 2, 7, 8), "float16", 2)
    arrays = {"q": q, "k": k, "v": values((2, 2, 7, 8), "float16", 3), "scale": np.float32(0.5).reshape(())}
    arrays["mask"] = values((*lead, 5, 7), "float16", 4)
    _, _, y = call(ATTENTION, {"causal": True}, (2, 4, 5, 8), **arrays)
    np.testing.assert_allclose(y, on_host(ATTENTION, {"causal": True}, (2, 4, 5, 8), arrays), atol=4e-3)


def packed(heads=2, tokens=5, length=8):
    """[2, tokens, (q, k, v) * heads * length] in one operand, and how each part lies in it."""
    width = 3 * heads * length
    options = {}
    for number, name in enumerate("qkv"):
        options[f"{name}_shape"] = (2, heads, tokens, length)
        options[f"{name}_strides"] = (tokens * width, length, width)
        options[f"{name}_start"] = number * heads * length
    options["y_shape"] = (2, heads, tokens, length)
    options["y_strides"] = (tokens * heads * length, length, heads * length)
    return options, (2, tokens, width), (2, tokens, heads * length)


def test_queries_keys_and_values_in_one_packed_operand(make, run):
    options, shape, result = packed()
    data = values(shape, "float16", 1)
    qkv, scale, y = make.buffer(shape, np.float16), make.buffer((), np.float32), make.buffer(result, np.float16)
    make.write(qkv, data)
    make.write(scale, 0.4)
    make.library(ATTENTION, options=options, result="y", q=qkv, k=qkv, v=qkv, scale=scale, y=y)
    run(make.build())
    arrays = {"q": data, "k": data, "v": data, "scale": np.float32(0.4)}
    expected = on_host(ATTENTION, options, result, arrays)
    np.testing.assert_allclose(make.read(y).astype(np.float64), expected, atol=2e-3)
    q, k, v = np.split(data.astype(np.float64).reshape(2, 5, 3, 2, 8), 3, axis=2)
    q, k, v = (part[:, :, 0].swapaxes(1, 2) for part in (q, k, v))
    weights = np.exp(0.4 * q @ k.swapaxes(-1, -2))
    plain = (weights / weights.sum(-1, keepdims=True)) @ v
    np.testing.assert_allclose(expected, plain.swapaxes(1, 2).reshape(result), atol=2e-3)


def test_the_scale_is_read_at_each_frame(call, make, run, driver):
    arrays = {name: values((1, 2, 4, 8), "float16", i) for i, name in enumerate("qkv")}
    executable, buffers, _ = call(ATTENTION, {}, (1, 2, 4, 8), **arrays, scale=np.float32(1).reshape(()))
    make.write(buffers["scale"], 3.0)
    driver.take()
    run(executable)
    assert driver.take() == ["cuGraphLaunch"]
    expected = on_host(ATTENTION, {}, (1, 2, 4, 8), arrays | {"scale": np.float32(3)})
    np.testing.assert_allclose(make.read(buffers["y"]).astype(np.float64), expected, atol=4e-3)


def test_an_option_captures_that_call_anew(call, make, run, driver):
    arrays = {"x": values((1, 4, 5, 5), seed=1), "weight": values((4, 4, 1, 1), seed=2), "bias": values((4,), seed=3)}
    executable, buffers, _ = call(CONVOLUTION, {"activation": "none"}, (1, 4, 5, 5), **arrays)
    driver.take("cu")
    executable.set_options(0, {"activation": "relu"})
    run(executable)
    calls = driver.take("cu")
    assert calls.count("cuStreamBeginCapture") == 1 and calls.count("cuGraphExecChildGraphNodeSetParams") == 1
    assert "cuGraphInstantiate" not in calls
    expected = on_host(CONVOLUTION, {"activation": "relu"}, (1, 4, 5, 5), arrays)
    np.testing.assert_allclose(make.read(buffers["y"]), expected, atol=1e-5)


def test_an_operand_that_moves_to_a_less_aligned_place_gets_another_plan(call, make, device, run):
    x, weight = values((1, 4, 5, 5), "float16", 1), values((4, 4, 1, 1), "float16", 2)
    executable, buffers, _ = call(CONVOLUTION, {}, (1, 4, 5, 5), x=x, weight=weight)
    target = device.allocate(x.nbytes + 2)
    device.upload(target + 2, -x)
    executable.set_address(buffers["x"], target + 2)
    run(executable)
    expected = on_host(CONVOLUTION, {}, (1, 4, 5, 5), {"x": -x, "weight": weight})
    np.testing.assert_allclose(make.read(buffers["y"]), expected, atol=1e-2)
    assert len(executable._bound.works[0].operation._plans) == 2


def test_no_samples_are_nothing_to_do(call):
    _, _, y = call(CONVOLUTION, {}, (0, 4, 5, 5), x=values((0, 4, 5, 5)), weight=values((4, 4, 1, 1)))
    assert y.shape == (0, 4, 5, 5)


def test_a_plan_is_made_once_and_given_back(call, device, emulation):
    arrays = {"x": values((1, 4, 5, 5), seed=1), "weight": values((4, 4, 1, 1), seed=2)}
    executable, _, _ = call(CONVOLUTION, {}, (1, 4, 5, 5), **arrays)
    operation = executable._bound.works[0].operation
    known = dict(operation._plans)
    executable._bound.works[0].prepare()
    assert operation._plans == known and len(known) == 1
    if emulation is not None:
        assert emulation.cudnn_objects() == 2  # the handle and the plan: all that describes it is gone
        device.close()
        assert emulation.cudnn_objects() == 0


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        ({"weight": (4, 3, 1, 1)}, {}, r"x \[1, 4, 5, 5\] has not a multiple of 3 channels"),
        ({"y": (1, 4, 4, 5)}, {}, r"y is \[1, 4, 4, 5\], but \[1, 4, 5, 5\] is wanted"),
        ({"bias": (5,)}, {}, r"bias is \[5\], but \[4\] is wanted"),
        ({}, {"stride": (1, 1, 1)}, "stride is one number or 2"),
        ({"weight": (4, 4)}, {}, "one to three lengths of the kernel"),
    ],
)
def test_wrong_convolutions_are_named(make, shapes, options, message):
    shapes = {"x": (1, 4, 5, 5), "weight": (4, 4, 1, 1), "y": (1, 4, 5, 5)} | shapes
    buffers = {name: make.buffer(shape) for name, shape in shapes.items()}
    make.library(CONVOLUTION, options=options, result="y", **buffers)
    with pytest.raises(DeviceError, match=message):
        make.build()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"dtype": "float32"}, {}, "works on float16 and bfloat16, not on float32"),
        ({"q": (1, 3, 4, 8), "y": (1, 3, 4, 8)}, {}, "3 query heads are no multiple of 2"),
        ({"k": (1, 2, 5, 8)}, {}, r"v is \[1, 2, 4, 8\], but \[1, 2, 5, 8\] is wanted"),
        (dict.fromkeys("qkvy", (1, 2, 4, 9)), {}, "wants multiples of 8"),
        ({"k": (1, 2, 3, 8), "v": (1, 2, 3, 8)}, {"causal": True, "aligned": "last"}, "a query would see no key"),
        ({"mask": (1, 2, 4, 5)}, {}, r"mask is \[1, 2, 4, 5\]"),
        ({}, {"q_strides": (64, 64, 8)}, "leaves its 64 elements"),
    ],
)
def test_wrong_attentions_are_named(make, change, options, message):
    dtype = change.pop("dtype", "float16")
    shapes = dict.fromkeys("qkvy", (1, 2, 4, 8)) | change
    buffers = {name: make.buffer(shape, np.dtype(dtype)) for name, shape in shapes.items()}
    make.library(ATTENTION, options=options, result="y", scale=make.buffer((), np.float32), **buffers)
    with pytest.raises(DeviceError, match=message):
        make.build()


def test_an_engine_that_wants_too_much_memory_is_not_taken(call, make, monkeypatch):
    monkeypatch.setattr("cudagraph.engine.devices.cuda.cudnn_plan.WORKSPACE_LIMIT", 5 << 10)
    arrays = {"x": values((1, 8, 6, 6), "float16", 1), "weight": values((4, 8, 1, 1), "float16", 2)}
    executable, _, _ = call(CONVOLUTION, {}, (1, 4, 6, 6), **arrays)  # the emulated best one wants 64 KiB
    (plan,) = executable._bound.works[0].operation._plans.values()
    assert not EMULATED or plan._plan.workspace_bytes == 4 << 10


@pytest.mark.skipif(not EMULATED, reason="the emulated attention wants a workspace")
def test_no_engine_is_an_error_that_says_what_was_asked_for(make, monkeypatch):
    monkeypatch.setattr("cudagraph.engine.devices.cuda.cudnn_plan.WORKSPACE_LIMIT", 0)
    buffers = {name: make.buffer((1, 2, 4, 8), np.float16) for name in "qkvy"}
    make.library(ATTENTION, result="y", scale=make.buffer((), np.float32), **buffers)
    message = r"cudnn.attention AttentionShape.*cuDNN 9\.28\.0 has no engine for this.*Without library='cudnn'"
    with pytest.raises(DeviceError, match=message):
        make.build()


def test_without_cudnn_the_error_says_what_to_install(make, monkeypatch):
    monkeypatch.setattr(cudnn_library, "library_name", lambda: "libcudnn_that_is_absent.so")
    buffers = {"x": make.buffer((1, 4, 5, 5)), "weight": make.buffer((4, 4, 1, 1)), "y": make.buffer((1, 4, 5, 5))}
    make.library(CONVOLUTION, result="y", **buffers)
    with pytest.raises(
        DeviceError, match=r"cudnn.convolution: cuDNN is not installed .* `pip install 'cudagraph.cudnn13"
    ):
        make.build()


def test_what_is_loaded_comes_before_wheels_and_wheels_before_the_system(monkeypatch, tmp_path):
    folder = tmp_path / "nvidia" / "cudnn" / "lib"
    folder.mkdir(parents=True)
    (folder / cudnn_library.library_name()).touch()
    monkeypatch.setattr("sys.path", [str(tmp_path), ""])
    names = [name for name, _ in cudnn_library.places()]
    assert names == [cudnn_library.library_name(), str(folder / cudnn_library.library_name()), names[0]]


def test_an_old_cudnn_cannot_do_attention(make, monkeypatch):
    find = cudnn_library.find

    def old():
        library = find()
        library.version = 91000
        return library

    monkeypatch.setattr("cudagraph.engine.devices.cuda.cudnn.find", old)
    buffers = {name: make.buffer((1, 2, 4, 8), np.float16) for name in "qkvy"}
    make.library(ATTENTION, result="y", scale=make.buffer((), np.float32), **buffers)
    with pytest.raises(DeviceError, match=r"cudnn.attention needs cuDNN 9.21 or newer, this is 9.10.0"):
        make.build()
