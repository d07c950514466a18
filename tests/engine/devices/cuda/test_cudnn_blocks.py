"""Blocks that cuDNN computes: what each change costs, and that results are those of the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import Conv2d, ScaledDotProductAttention

pytestmark = pytest.mark.usefixtures("cudnn")


def values(*shape: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype)


class Bench:
    """One block on the cuda device; counts what the driver is asked for."""

    def __init__(self, device: Any, driver: Any) -> None:
        self.engine = cg.CudaEngine(device, environment=cg.Environment(cache=None))
        self.driver = driver
        self.block: Any = None

    def start(self, block: cg.Block, *arrays: np.ndarray) -> np.ndarray:
        self.block = self.engine.add(block)
        return self.frame(*arrays)

    def frame(self, *arrays: np.ndarray) -> np.ndarray:
        for port, array in zip(self.block.inputs, arrays, strict=False):
            self.engine.bind(port, array)
        self.driver.take()
        self.engine.update(sync=True)
        assert self.block.debug.state == "ok", self.block.debug.message
        calls = self.driver.take("cu")
        self.captures = calls.count("cuStreamBeginCapture")
        self.rebuilt = "cuGraphInstantiate" in calls or "cuGraphExecUpdate" in calls
        return self.engine.read(self.block.y)

    @property
    def tier(self) -> str:
        return str(self.engine.explain())


@pytest.fixture
def bench(device: Any, driver: Any) -> Iterator[Bench]:
    made = Bench(device, driver)
    yield made
    made.engine.close()


def conv() -> Conv2d:
    return Conv2d(4, 8, 3, padding=1, activation="relu", residual=True, library="cudnn", seed=1)


def expected(block: Any, *arrays: np.ndarray, **changes: Any) -> np.ndarray:
    named = {name: np.asarray(weight.value) for name, weight in block.weights.items()}
    named |= {name: option.value for name, option in block.options.items()}
    named |= {name: parameter.value for name, parameter in block.parameters.items()}
    return block.reference(*(array.astype(np.float64) for array in arrays), **named)


def test_a_convolution_is_one_captured_node(bench: Bench) -> None:
    x, residual = values(2, 4, 6, 5), values(2, 8, 6, 5, seed=1)
    y = bench.start(conv(), x, residual)
    np.testing.assert_allclose(y, expected(bench.block, x, residual), atol=1e-5)
    assert bench.captures == 1 and len(bench.engine.graph()) >= 1
    assert bench.frame() is not None and not bench.captures and not bench.rebuilt


def test_weights_are_hot_and_options_capture_one_call(bench: Bench) -> None:
    x, residual = values(2, 4, 6, 5), values(2, 8, 6, 5, seed=1)
    bench.start(conv(), x, residual)
    bench.block.weight.value = values(8, 4, 3, 3, seed=7)
    y = bench.frame()
    np.testing.assert_allclose(y, expected(bench.block, x, residual), atol=1e-5)
    assert not bench.captures and not bench.rebuilt
    bench.block.activation.value = "none"
    y = bench.frame()
    np.testing.assert_allclose(y, expected(bench.block, x, residual), atol=1e-5)
    assert bench.captures == 1 and not bench.rebuilt and "captured anew" in bench.tier
    with pytest.raises(cg.DescriptionError, match="cannot be 'gelu'; choose one of 'none', 'relu'"):
        bench.block.activation.value = "gelu"


def test_other_arrays_and_shapes(bench: Bench) -> None:
    x, residual = values(2, 4, 6, 5), values(2, 8, 6, 5, seed=1)
    bench.start(conv(), x, residual)
    other = values(2, 4, 6, 5, seed=9)
    np.testing.assert_allclose(bench.frame(other), expected(bench.block, other, residual), atol=1e-5)
    assert not bench.rebuilt
    x, residual = values(1, 4, 9, 3), values(1, 8, 9, 3, seed=1)
    np.testing.assert_allclose(bench.frame(x, residual), expected(bench.block, x, residual), atol=1e-5)
    assert bench.captures == 1


def test_what_cudnn_does_not_fuse_is_a_kernel_behind_it(bench: Bench) -> None:
    block = Conv2d(4, 8, 3, activation="gelu", library="cudnn", seed=1)
    x = values(2, 4, 6, 5)
    np.testing.assert_allclose(bench.start(block, x), expected(block, x), atol=1e-5)
    block.activation.value = "silu"
    np.testing.assert_allclose(bench.frame(), expected(block, x), atol=1e-5)


def test_the_scale_of_attention_is_hot(bench: Bench) -> None:
    arrays = [values(2, 3, 5, 8, dtype=np.float16, seed=seed) for seed in range(3)]
    y = bench.start(ScaledDotProductAttention(causal=True, library="cudnn"), *arrays)
    np.testing.assert_allclose(y.astype(np.float64), expected(bench.block, *arrays), atol=2e-3)
    for scale in (1.5, 0.0):  # 0 is 1 / sqrt(D)
        bench.block.scale.value = scale
        y = bench.frame()
        np.testing.assert_allclose(y.astype(np.float64), expected(bench.block, *arrays), atol=2e-3)
        assert not bench.captures and not bench.rebuilt


def test_a_type_that_cudnn_cannot_is_an_error_at_the_block_and_the_rest_goes_on(bench: Bench) -> None:
    arrays = [values(2, 3, 5, 8, dtype=np.float16, seed=seed) for seed in range(3)]
    before = bench.start(ScaledDotProductAttention(library="cudnn"), *arrays)
    for port, array in zip(bench.block.inputs, arrays, strict=True):
        bench.engine.bind(port, array.astype(np.float32))
    bench.engine.update(sync=True)
    assert bench.block.debug.state == "error"
    assert "works on float16 and bfloat16, not on float32" in bench.block.debug.message
    np.testing.assert_array_equal(bench.frame(*arrays), before)
