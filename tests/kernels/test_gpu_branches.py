"""What kernels do on a GPU, run on the CPU: shuffles and barriers between fibers, not the CPU's own branches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from block_case import Case, load_cases
from gpu_branches import take_gpu_branches

import cudagraph as cg
from cudagraph.blocks import ArgMax, Cos, CumSum, LayerNorm, Max, RMSNorm, Sin, Sum, Var
from cudagraph.dtypes import parse_dtype

SHAPES = [(-1, (5, 70)), (-1, (11, 300)), (-1, (3, 5000)), (-1, (40_001,)), (0, (70, 5)), (0, (4000, 3))]

FAMILIES = (
    "activation channel_mixing composition convolution embedding layout math normalization regularization".split()
)
FOLDER = Path(__file__).parents[1] / "blocks" / "cases"
CASES = [case for family in FAMILIES for case in load_cases(FOLDER, family)]


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Blocks made from now on take their kernels' other branches."""
    take_gpu_branches(monkeypatch)


@pytest.fixture
def engine(as_on_a_gpu):
    """An engine on the host whose blocks take their kernels' other branches."""
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


class Placed(cg.Block):
    """x, `offset` elements behind the beginning of an array."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (int(np.prod(shape)) + offset,), dtype)
            self.y = b.view(self.x, shape, offset=offset)


Launch = tuple[int, int]  # a size, and how many elements behind a multiple of 16 bytes the arrays begin


def outcomes(case: Case, dtype: str, launches: list[Launch], *, sanitize: bool) -> list[tuple[np.ndarray, ...]]:
    """What a block makes of arrays that begin anywhere."""
    environment = replace(cg.Environment.from_environ(), sanitize=sanitize)
    with cg.CudaEngine("host", environment=environment) as engine:
        return [outcome(case, dtype, launch, engine) for launch in launches]


def outcome(case: Case, dtype: str, launch: Launch, engine: cg.CudaEngine) -> tuple[np.ndarray, ...]:
    size, offset = launch
    block = engine.add(case.make(dtype))
    places: list[cg.Block] = []
    for name, array in case.inputs(np.random.default_rng(size), size, parse_dtype(dtype)).items():
        places.append(place := engine.add(Placed(array.shape, array.dtype, offset)))
        engine.connect(place.y, block.ports[name])
        engine.bind(place.x, np.concatenate([np.zeros(offset, array.dtype), array.reshape(-1)]))
    engine.update(sync=True)
    made = tuple(engine.read(block.ports[name]) for name in case.outputs or [port.name for port in block.outputs])
    for one in (block, *places):
        engine.remove(one)
    return made


@pytest.mark.parametrize("case", CASES, ids=str)
def test_vectors_tails_and_arrays_that_begin_anywhere(case, request):
    """The same results as the CPU's branches, with aligned arrays and with others, without a wrong access."""
    dtype = "float16" if "float16" in case.dtypes else case.dtypes[0]
    launches = [(3, 1), (case.sizes[-1], 0), (case.sizes[-1], 1)]
    expected = outcomes(case, dtype, launches, sanitize=False)
    request.getfixturevalue("as_on_a_gpu")
    for given, wanted in zip(outcomes(case, dtype, launches, sanitize=True), expected, strict=True):
        case.compare(case.make(dtype), given, wanted, 2 * case.tolerances.get(dtype, 0))
