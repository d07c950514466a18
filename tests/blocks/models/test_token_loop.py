"""The two ends of a language model: draws follow the distribution, and a generated text stays on the device."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import cudagraph as cg
from cudagraph.blocks.models import TokenLoop


def bound(engine: cg.CudaEngine, logits: np.ndarray) -> TokenLoop:
    """A loop that draws from a row of logits."""
    loop = engine.add(TokenLoop(logits.size, 8, max_length=4000))
    engine.bind(loop.ids, np.zeros((1, 1), np.int32))
    engine.bind(loop.logits, logits.reshape(1, 1, -1).astype(np.float32))
    return loop


def draws(engine: cg.CudaEngine, loop: TokenLoop, count: int) -> np.ndarray:
    found = []
    for position in range(count):
        loop.position.value = position
        engine.update()
        found.append(engine.read(loop.token)[0])
    return np.bincount(found, minlength=loop.logits.shape[2])


def test_tokens_are_drawn_with_the_probabilities_of_a_softmax(engine):
    logits = np.array([0.0, 1.0, -1.0, 2.0, 0.5, -3.0])
    loop = bound(engine, logits)
    loop.temperature.value = 1.5
    counts = draws(engine, loop, 3000)
    expected = np.exp(logits / 1.5)
    assert scipy.stats.chisquare(counts, 3000 * expected / expected.sum()).pvalue > 1e-3
    assert engine.rebuilds == 1


def test_another_seed_draws_another_text(engine):
    loop = bound(engine, np.zeros(1000))
    loop.temperature.value = 1.0
    first = draws(engine, loop, 50)
    assert (draws(engine, loop, 50) == first).all()
    loop.seed.value = 1
    assert (draws(engine, loop, 50) != first).any()


@pytest.mark.parametrize(
    ("top_k", "top_p", "allowed"),
    [(3, 1.0, {3, 1, 4}), (0, 0.5, {3}), (0, 0.9, {3, 1, 4, 0}), (4, 0.8, {3, 1, 4}), (1, 0.01, {3}), (0, 0.0, {3})],
)
def test_top_k_and_top_p_leave_out_the_unlikely(engine, top_k, top_p, allowed):
    """Probabilities, from the largest: 0.53 (3), 0.19 (1), 0.12 (4), 0.07 (0), 0.06, 0.03."""
    logits = np.log(np.array([0.07, 0.19, 0.06, 0.53, 0.12, 0.03]))
    loop = bound(engine, logits)
    loop.temperature.value, loop.top_k.value, loop.top_p.value = 1.0, top_k, top_p
    assert set(np.flatnonzero(draws(engine, loop, 400))) == allowed


def test_temperature_zero_takes_the_first_of_the_largest(engine):
    loop = bound(engine, np.array([1.0, -np.inf, 3.0, 3.0]))
    engine.update()
    assert engine.read(loop.token)[0] == 2


def test_a_generated_text_feeds_itself(engine):
    logits = np.random.default_rng(0).normal(size=(2, 1, 50)).astype(np.float32)
    loop = engine.add(TokenLoop(50, 8, max_length=10, max_batch=3, positions=10))
    engine.bind(loop.logits, logits)
    text = np.zeros((3, 10), np.int32)
    text[:2, 0] = 7, 11
    loop.text.value = text
    loop.frame.batch, loop.frame.tokens, loop.frame.sampling = 2, 1, True
    for position in range(3):
        loop.position.value = position
        engine.update()
    chosen = logits[:, 0].argmax(-1)
    assert engine.read(loop.text)[:, :5].tolist() == [[7, *[chosen[0]] * 3, 0], [11, *[chosen[1]] * 3, 0], [0] * 5]
    weight, positions = loop.weight.value, loop.positions.value
    np.testing.assert_array_equal(engine.read(loop.x)[:, 0], weight[chosen] + positions[2])
    assert engine.rebuilds == 1


@pytest.mark.parametrize(("token", "position"), [(50, 0), (-1, 0), (3, 10)])
def test_what_is_outside_is_reported_on_the_block(engine, token, position):
    loop = engine.add(TokenLoop(50, 8, max_length=10, positions=10))
    engine.bind(loop.ids, np.full((1, 1), token, np.int32))
    engine.bind(loop.logits, np.zeros((1, 1, 50), np.float32))
    loop.position.value = position
    engine.update(sync=True)
    assert loop.debug.state == "error"
    assert "outside of the vocabulary" in loop.debug.message
