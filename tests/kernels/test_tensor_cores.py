"""Attention as a GPU runs it, on the CPU: fragments, copies ahead, shuffles and barriers with real numbers."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gpu_branches import take_gpu_branches

import cudagraph as cg
from cudagraph.blocks import ScaledDotProductAttention, SelfAttention
from cudagraph.blocks.embedding.rotary import rotary_table

DTYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
NEAR = {"float16": 2e-3, "bfloat16": 1.6e-2}


@pytest.fixture
def sources(monkeypatch):
    """Blocks take the branches of their kernels that a GPU would; what is put here replaces text in them."""
    replaced: dict[str, str] = {}
    found: set[str] = set()

    def edit(text: str) -> str:
        found.update(old for old in replaced if old in text)
        for old, new in replaced.items():
            text = text.replace(old, new)
        return text

    take_gpu_branches(monkeypatch, edit)
    yield replaced
    assert found == replaced.keys()


def run(block: Any, *arrays: np.ndarray) -> np.ndarray:
    with cg.CudaEngine("host") as engine:
        engine.add(block)
        for port, array in zip(block.inputs, arrays, strict=True):
            engine.bind(port, array)
        engine.update(sync=True)
        return engine.read(block.outputs[0])


def normal(*shape: int, dtype: str, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32).astype(DTYPES[dtype])


# heads, heads of keys, queries, keys, length of a head and of a value, and what the queries see
SIGHTS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((2, 2, 64, 64, 64, 64), {}),
    ((1, 1, 130, 130, 64, 64), {"causal": True}),
    ((4, 2, 70, 200, 16, 32), {"causal": True, "aligned": "last"}),
    ((2, 1, 65, 333, 128, 128), {}),
    ((1, 1, 1, 129, 48, 16), {}),
    ((2, 2, 100, 150, 32, 48), {"causal": True, "window": 40}),
    ((1, 1, 80, 90, 64, 64), {"softcap": 5.0, "alibi": True}),
    ((2, 1, 33, 70, 32, 32), {"mask": "bool"}),
    ((2, 1, 66, 70, 32, 32), {"mask": "additive"}),
]


@pytest.mark.parametrize(
    ("sizes", "sight", "dtype"),
    [(*case, "bfloat16" if i % 3 == 1 else "float16") for i, case in enumerate(SIGHTS)],
    ids=[f"{sizes}-{'-'.join(sight)}" for sizes, sight in SIGHTS],
)
def test_attention(sizes, sight, dtype, sources):
    heads, groups, queries, keys, length, width = sizes
    sources["attend_pass<rows, tile>("] = "__trap(), attend_pass<rows, tile>("  # ordinary arithmetic is not for these
    block = ScaledDotProductAttention(group=heads // groups, **sight)
    q, k = normal(2, heads, queries, length, dtype=dtype), normal(2, groups, keys, length, dtype=dtype, seed=1)
    arrays = [q, k, normal(2, groups, keys, width, dtype=dtype, seed=2)]
    random = np.random.default_rng(3)
    if sight.get("mask") == "bool":
        mask = random.random((2, heads, queries, keys)) < 0.5
        mask[0, 0, 0] = False  # a query that sees nothing
        arrays.append(mask)
    elif "mask" in sight:
        arrays.append(normal(1, heads, queries, keys, dtype=dtype, seed=4))
    elif "alibi" in sight:
        arrays.append(random.random(heads).astype(np.float32))
    given = run(block, *arrays)
    wide = [each.astype(np.float64) if each.dtype != bool else each for each in arrays]
    expected = block.reference(*wide, **{name: hot.value for name, hot in block.parameters.items()})
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(given.astype(np.float64), expected, rtol=0, atol=NEAR[dtype] * scale)


def test_tokens_that_do_not_lie_in_step_take_ordinary_arithmetic(sources):
    sources["attend_tensor("] = "__trap(), attend_tensor("
    block = ScaledDotProductAttention()
    arrays = [normal(1, 1, 20, 20, dtype="float16", seed=seed) for seed in range(3)]
    expected = block.reference(*(each.astype(np.float64) for each in arrays), scale=0.0)
    np.testing.assert_allclose(run(block, *arrays).astype(np.float64), expected, rtol=0, atol=4e-3)


DECODING: list[tuple[str, int, dict[str, Any]]] = [
    ("float32", 1, {}),
    ("float16", 1, {"kv_heads": 1, "rope": rotary_table(300, 16)}),
    ("bfloat16", 3, {"kv_heads": 2, "rope": rotary_table(300, 8), "qk_norm": "rms", "interleaved": True}),
    ("float32", 2, {"window": 5, "rope": rotary_table(300, 16)}),
    ("float64", 1, {"kv_heads": 2, "softcap": 4.0}),
]


def decoded(attention: SelfAttention, x: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Results of frames of so many tokens, at places from the first row of the cache to the last."""
    found = []
    with cg.CudaEngine("host") as engine:
        engine.add(attention)
        for place in (0, tokens, 2 * tokens, 150, 299 - tokens, 300 - tokens):
            engine.bind(attention.x, np.roll(x, place, 1))
            attention.position.value = place
            engine.update(sync=True)
            found.append(engine.read(attention.y))
        attention.position.value = 299
        engine.update(sync=True)
        told = "error" if tokens > 1 else "ok"
        assert attention.debug.state == told, attention.debug.message
        found.append(engine.read(attention.k_cache))
        found.append(engine.read(attention.v_cache))
    return found


@pytest.mark.parametrize(("dtype", "tokens", "options"), DECODING, ids=[str(case[:2]) for case in DECODING])
def test_decoding(dtype, tokens, options, request):
    """The frame's own keys are in nobody's cache yet: every share of a head's keys has to know them."""
    options = {"cache": 300, "causal": True, "dtype": dtype, "seed": 5, **options}
    x = np.random.default_rng(1).standard_normal((2, tokens, 64)).astype(DTYPES.get(dtype, dtype))
    expected = decoded(SelfAttention(64, 4, **options), x, tokens)
    request.getfixturevalue("sources")
    given = decoded(SelfAttention(64, 4, **options), x, tokens)
    tolerance = {"float64": 1e-12, "float32": 3e-6}.get(dtype, 0) or NEAR[dtype]
    for ours, theirs in zip(given, expected, strict=True):
        scale = max(1.0, float(np.abs(theirs.astype(np.float64)).max()))
        np.testing.assert_allclose(ours.astype(np.float64), theirs.astype(np.float64), rtol=0, atol=tolerance * scale)
