"""Generating text: one launch per token, hot sampling, stop tokens, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks.models import GPT2, Llama
from cudagraph.engine.devices.recording import RecordingDevice


def small(**options):
    return GPT2(40, 80, 16, 2, 2, seed=1, **options)


def lively(**options):
    """A model whose choices depend on what came before: its weights are larger than a new model's."""
    model = small(tied=False, **options)
    random = np.random.default_rng(5)
    arrays = {name: random.normal(0, 0.5, value.shape) for name, value in model.state_dict().items()}
    for name, value in arrays.items():
        if name.endswith("bias"):
            value[:] = 0
        elif "norm" in name:
            value[:] = 1
    model.load_state_dict(arrays)
    return model


@pytest.mark.parametrize("make", [GPT2, Llama])
def test_a_token_is_one_launch_and_rebuilds_nothing(make):
    model = make(50257, 1024, 64, 12, 4) if make is GPT2 else make(32000, 64, 4, 4, 100, kv_heads=2, max_length=1024)
    device = RecordingDevice()
    with cg.CudaEngine(device) as engine:
        stream = model.stream(engine, np.arange(32), 257, stop=())
        next(stream)  # the prompt and the first token: two plans
        before = device.calls.copy()
        assert engine.rebuilds == 2
        for _ in range(256):
            next(stream)
        spent = {name: count - before[name] for name, count in device.calls.items() if count > before[name]}
        assert engine.rebuilds == 2
    assert spent.pop("launch") == 256
    assert spent.pop("upload") == 256  # the position, with whatever other parameters change
    assert spent.pop("download") == 256  # the token
    assert set(spent) <= {"wait", "upload_bytes"}


def test_a_generated_text_is_not_looked_at_while_it_is_made():
    device = RecordingDevice()
    with cg.CudaEngine(device) as engine:
        small().generate(engine, [[1, 2, 3]], 50, stop=())
        assert device.calls["launch"] == 51
        assert device.calls["download"] == 1
        assert engine.rebuilds == 2


def test_a_text_is_what_the_logits_say(make_engine):
    """Token by token, from the logits of the whole text so far."""
    text = lively().generate(make_engine(), [3, 1, 4], 20)
    engine, plain = make_engine(), lively()
    engine.add(plain)
    for length in range(3, 23):
        engine.bind(plain.ids, text[:, :length])
        engine.update(sync=True)
        assert engine.read(plain.logits)[0, -1].argmax() == text[0, length]
    assert len(set(text[0])) > 5


def test_streaming_gives_the_same_text(engine):
    model = lively()
    wanted = model.generate(engine, [3, 1, 4], 12)[0, 3:].tolist()
    assert list(model.stream(engine, [3, 1, 4], 12)) == wanted
    assert list(model.stream(engine, np.array([3]), 0)) == []


def test_texts_beside_each_other_do_not_disturb_each_other(engine):
    model = lively()
    prompts = np.array([[3, 1, 4], [1, 5, 9], [2, 6, 5]])
    together = model.generate(engine, prompts, 10)
    apart = [model.generate(engine, prompt, 10)[0] for prompt in prompts]
    np.testing.assert_array_equal(together, apart)


def test_the_model_takes_its_ids_again_afterwards(engine):
    model = engine.add(lively())
    ids = np.array([[3, 1, 4, 1, 5]], np.int64)
    engine.bind(model.ids, ids)
    engine.update(sync=True)
    before = engine.read(model.logits)
    model.generate(engine, [7], 5)
    engine.update(sync=True)
    assert not engine.errors
    np.testing.assert_array_equal(engine.read(model.logits), before)


def test_sampling_is_seeded_and_hot(engine):
    model = lively()
    first = model.generate(engine, [1, 2], 30, temperature=1.0, seed=4)
    assert (model.generate(engine, [1, 2], 30, seed=4) == first).all()  # the temperature stays
    assert (model.generate(engine, [1, 2], 30, seed=5) != first).any()
    greedy = model.generate(engine, [1, 2], 30, temperature=0.0)
    assert (model.generate(engine, [1, 2], 30, temperature=1.0, top_k=1) == greedy).all()
    assert (model.generate(engine, [1, 2], 30, top_k=0, top_p=0.0) == greedy).all()
    tokens = []
    for token in model.stream(engine, [1, 2], 30, temperature=0.0, top_p=1.0):
        tokens.append(token)
        model.parameters["temperature"].value = 5.0 if len(tokens) >= 10 else 0.0
    assert tokens[:10] == greedy[0, 2:12].tolist()
    assert tokens != greedy[0, 2:].tolist()


def test_a_stop_token_ends_a_text(engine):
    model = lively()
    prompts = np.array([[3, 1, 4], [1, 5, 9]])
    free = model.generate(engine, prompts, 40, stop=())
    assert free.shape == (2, 43)
    stop = int(free[0, 8])
    first = [row.tolist().index(stop) if stop in row else 40 for row in free[:, 3:]]
    ended = model.generate(engine, prompts, 40, stop=(stop,))
    assert ended.shape == (2, 3 + min(40, max(first) + 1))
    for row, whole, end in zip(ended[:, 3:], free[:, 3:], first, strict=True):
        assert (row[: end + 1] == whole[: min(end + 1, len(row))]).all()
        assert (row[end + 1 :] == stop).all()
    before = engine.frame
    model.generate(engine, prompts[0], 75, stop=(stop,))
    assert engine.frame - before == 1 + 32  # one look after 32 tokens
    model.stop_tokens = (stop,)
    assert list(model.stream(engine, prompts[0], 40))[-1] == stop


@pytest.mark.parametrize(
    ("prompt", "count", "options", "message"),
    [
        ([1, 2], 79, {}, r"2 tokens and 79 more do not fit into 80 \(max_length\)"),
        ([40], 1, {}, "has the tokens 0 to 39"),
        ([-1], 1, {}, "has the tokens 0 to 39"),
        ([], 1, {}, "at least one token"),
        ([0.5], 1, {}, "at least one token, as integers"),
        ([[[1]]], 1, {}, "at least one token"),
        (np.zeros((65, 1), int), 1, {}, "at most 64 texts at once, not 65"),
        ([1], 1, {"top": 3}, "not 'top'"),
        ([1], 1, {"temperature": -1.0}, "out of range"),
    ],
)
def test_what_is_refused(engine, prompt, count, options, message):
    with pytest.raises(cg.DescriptionError, match=message):
        small().generate(engine, prompt, count, **options)
    with pytest.raises(cg.DescriptionError, match="one text at a time"):
        next(small().stream(engine, [[1], [2]], 1))


def test_a_text_that_stops_early_leaves_the_model_as_it_was(engine):
    model = engine.add(lively())
    stream = model.stream(engine, [1, 2], 30)
    assert len([next(stream) for _ in range(3)]) == 3
    stream.close()
    assert model.generate(engine, [1, 2], 5).shape == (1, 7)
    assert model.parameters["position"].value == 0
