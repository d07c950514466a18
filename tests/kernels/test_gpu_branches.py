"""What kernels do on a GPU, run on the CPU: shuffles and barriers between fibers, not the CPU's own branches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import ArgMax, Cos, CumSum, LayerNorm, Max, RMSNorm, Sin, Sum, Var
from cudagraph.builder import BlockBuilder
from cudagraph.source import KERNELS

AS_ON_A_GPU = "#define CUDAGRAPH_FIBERS\n#define __CUDA_ARCH__ 900\n#undef CUDAGRAPH_HOST\n"
SHAPES = [(-1, (5, 70)), (-1, (11, 300)), (-1, (3, 5000)), (-1, (40_001,)), (0, (70, 5)), (0, (4000, 3))]


@pytest.fixture
def engine(monkeypatch):
    """An engine on the host whose blocks take their kernels' other branches."""
    launch = BlockBuilder.kernel

    def kernel(builder: BlockBuilder, name: Any, /, **arguments: Any) -> None:
        text = (KERNELS / f"{name}.cu").read_text()
        launch(builder, cg.CudaSource(AS_ON_A_GPU + text), **arguments)

    monkeypatch.setattr(BlockBuilder, "kernel", kernel)
    with cg.CudaEngine("host") as engine:
        yield engine


def run(engine: cg.CudaEngine, block: Any, x: np.ndarray) -> np.ndarray:
    engine.add(block)
    engine.bind(block.x, x)
    engine.update(sync=True)
    result = engine.read(block.y)
    engine.remove(block)
    return result


@pytest.mark.parametrize("kind", [Sum, CumSum, Max, ArgMax, Var])
def test_reductions(kind, engine):
    for dim, shape in SHAPES:
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        block = kind(dim)
        more = {"correction": 1.0} if kind is Var else {}
        expected = block.reference(x.astype(np.float64), **more)
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(run(engine, block, x), expected, rtol=0, atol=2e-6 * scale)


@pytest.mark.parametrize("kind", [LayerNorm, RMSNorm])
@pytest.mark.parametrize(("columns", "dtype"), [(24, "float32"), (130, "float32"), (1100, "float32"), (400, "float64")])
def test_rows(kind, columns, dtype, engine):
    """Several rows to a warp, a warp to a row, several warps to a row, and several such rows in a block."""
    x = np.random.default_rng(0).standard_normal((7, columns)).astype(dtype)
    wide = x.astype(np.float64)
    centred = wide - wide.mean(-1, keepdims=True) if kind is LayerNorm else wide
    expected = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(run(engine, kind(columns, eps=1e-5, dtype=dtype), x), expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("kind", [Sin, Cos])
def test_sines(kind, engine):
    random = np.random.default_rng(0)
    x = np.concatenate([random.uniform(-9, 9, 500), 10 ** random.uniform(3, 38.5, 500)]).astype(np.float32)
    np.testing.assert_allclose(run(engine, kind(), x), kind.reference(x.astype(np.float64)), rtol=0, atol=3e-7)
