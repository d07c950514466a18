"""Random masks: their generator against published numbers, what they do against torch, and their statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import DropBlock, DropConnect, Dropout, DropPath, SpecAugment
from cudagraph.blocks.particles.philox import philox
from cudagraph.blocks.regularization.noise import uniforms, words

torch: Any = pytest.importorskip("torch")
stats: Any = pytest.importorskip("scipy.stats")


def frames(block: Any, x: np.ndarray, count: int = 1) -> list[np.ndarray]:
    with cg.CudaEngine("host") as engine:
        engine.bind(engine.add(block).x, x)
        found = []
        for _ in range(count):
            engine.update()
            found.append(engine.read(block.y))
        return found


def test_philox_gives_the_words_of_random123():
    # The known answers of the Random123 library: counter, key, result.
    ones = 0xFFFFFFFF
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    for counter, key, expected in (
        ([0, 0, 0, 0], (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([ones] * 4, (ones, ones), [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (pi, (0xA4093822, 0x299F31D0), [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
    ):
        np.testing.assert_array_equal(philox(np.array([counter], np.uint32), key)[0], expected)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_dropout_drops_its_share_and_keeps_the_mean(p):
    x = np.ones((400, 500), np.float32)
    y = frames(Dropout(p, training=True, seed=1), x)[0]
    kept = int((y != 0).sum())
    assert stats.binomtest(kept, x.size, 1 - p).pvalue > 1e-3
    if 0 < p < 1:
        # torch gives what it keeps the same value.
        theirs = torch.nn.functional.dropout(torch.ones(1000), p).unique().numpy()
        np.testing.assert_allclose(np.unique(y), theirs, rtol=1e-6)


def test_evaluation_is_the_identity_as_in_torch():
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 10)).astype(np.float32)
    expected = torch.nn.Dropout(0.5).eval()(torch.from_numpy(x)).numpy()
    for block in (Dropout(), DropPath(), DropBlock()):
        np.testing.assert_array_equal(frames(block, x)[0], expected)
    np.testing.assert_array_equal(frames(SpecAugment(), x[0])[0], expected[0])


def test_every_frame_has_its_own_mask_and_every_run_the_same():
    x = np.ones(1000, np.float32)
    first, again = (frames(Dropout(0.5, training=True, seed=9), x, 4) for _ in range(2))
    for frame, (one, other) in enumerate(zip(first, again, strict=True)):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one != 0, uniforms(9, frame, 1000) >= np.float32(0.5))
    masks = {one.tobytes() for one in first}
    assert len(masks) == 4
    assert not np.array_equal(first[0], frames(Dropout(0.5, training=True, seed=10), x)[0])
    # Neighbours, and one element in successive frames, have nothing to do with each other.
    drawn = uniforms(9, 0, 4000)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.06
    assert abs(np.corrcoef(drawn, uniforms(9, 1, 4000))[0, 1]) < 0.06
    assert stats.kstest(drawn, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("make", [
    lambda: DropPath(0.5, training=True, seed=3),
    lambda: DropBlock(0.3, 3, training=True, seed=3),
    lambda: SpecAugment(4, 5, training=True, seed=3),
    lambda: DropConnect(8, 8, training=True, seed=3),
], ids=["DropPath", "DropBlock", "SpecAugment", "DropConnect"])  # fmt: skip
def test_the_frame_counts_for_every_mask(make):
    block = make()
    x = np.ones((9, 8, 8, 8) if isinstance(block, DropBlock) else (9, 8, 8), np.float32)
    values: dict[str, Any] = {name: weight.value for name, weight in block.weights.items()}
    values |= {name: parameter.value for name, parameter in block.parameters.items()}
    for frame, y in enumerate(frames(block, x, 3)):
        np.testing.assert_allclose(y, block.reference(x, **values, frame=frame), rtol=1e-5)


def test_drop_path_drops_whole_samples():
    x = np.ones((3000, 5), np.float32)
    y = frames(DropPath(0.2, training=True, seed=1), x)[0]
    assert (y == y[:, :1]).all()
    np.testing.assert_allclose(np.unique(y), [0, 1.25])
    assert stats.binomtest(int((y[:, 0] != 0).sum()), 3000, 0.8).pvalue > 1e-3


def test_drop_connect_is_torch_with_a_masked_weight():
    block = DropConnect(40, 30, p=0.3, training=True, seed=2)
    theirs = torch.nn.Linear(40, 30)
    block.load_state_dict({name: value.detach().numpy() for name, value in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((6, 40)).astype(np.float32)
    mask = uniforms(2, 0, 1200).reshape(30, 40) >= np.float32(0.3)
    masked = theirs.weight * torch.from_numpy(mask / np.float32(0.7))
    expected = torch.nn.functional.linear(torch.from_numpy(x), masked.float(), theirs.bias)
    np.testing.assert_allclose(frames(block, x)[0], expected.detach().numpy(), rtol=0, atol=2e-6)
    block.training.value = False
    plain = DropConnect(40, 30, p=0.3)
    plain.load_state_dict(block.state_dict())
    np.testing.assert_allclose(frames(plain, x)[0], theirs(torch.from_numpy(x)).detach().numpy(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_drop_block_is_a_pooled_mask_as_in_torchvision(size):
    x = np.ones((4, 5, 21, 18), np.float32)
    p, height, width = 0.2, 21, 18
    places = (4, 5, height - size + 1, width - size + 1)
    gamma = p * height * width / (size**2 * places[2] * places[3])
    seeds = uniforms(8, 0, int(np.prod(places))).reshape(places) < gamma
    around = torch.nn.functional.pad(torch.from_numpy(seeds.astype(np.float32)), [size // 2] * 4)
    mask = 1 - torch.nn.functional.max_pool2d(around, size, 1, size // 2)
    expected = mask * mask.numel() / (1e-6 + mask.sum())
    y = frames(DropBlock(p, size, training=True, seed=8), x)[0]
    np.testing.assert_allclose(y, expected.numpy(), rtol=1e-6)
    assert 0.1 < (y == 0).mean() < 0.25
    assert y.mean() == pytest.approx(1, rel=1e-5)


def test_spec_augment_has_masks_of_the_law_of_the_paper():
    x = np.ones((2000, 40, 50), np.float32)
    y = frames(SpecAugment(10, 30, 1, 0, training=True, seed=4), x)[0]
    rows = (y == 0).all(axis=2)
    assert ((y == 0).any(axis=2) == rows).all()
    widths = rows.sum(axis=1)
    assert stats.chisquare(np.bincount(widths, minlength=10)).pvalue > 1e-3  # 0 to 9 are equally likely
    assert (np.abs(np.diff(np.pad(rows, ((0, 0), (1, 1))).astype(int), axis=1)).sum(axis=1) <= 2).all()
    starts = rows.argmax(axis=1)[widths > 0] / (40 - widths[widths > 0])
    assert stats.kstest(starts, "uniform").statistic < 0.06
    y = frames(SpecAugment(10, 30, 0, 2, time_ratio=0.2, training=True, seed=4), x)[0]
    columns = (y == 0).all(axis=1)
    assert columns.any() and columns.sum(axis=1).max() <= 2 * 9  # floor(0.2 * 50) = 10 is not reached


def test_streams_of_one_seed_differ():
    assert not np.array_equal(words(1, 0, 9, stream=0), words(1, 0, 9, stream=256))
