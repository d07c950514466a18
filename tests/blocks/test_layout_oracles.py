"""Layout against torch: every dimension, every order, bit by bit."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import (
    BatchAdapter,
    Cast,
    Chunk,
    Concatenate,
    Crop,
    DimensionAdapter,
    Expand,
    Flatten,
    Flip,
    Gather,
    Identity,
    ImageToPatches,
    Pad,
    PatchesToImage,
    Permute,
    Repeat,
    Reshape,
    Roll,
    SequenceLengthAdapter,
    Sequential,
    Slice,
    Split,
    Squeeze,
    Stack,
    Transpose,
    Unsqueeze,
)

torch: Any = pytest.importorskip("torch")

X = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
THEIRS = torch.from_numpy(X)
IMAGE = np.random.default_rng(0).standard_normal((2, 3, 8, 12)).astype(np.float32)
AXES = range(-4, 4)


def run(block: Any, *arrays: np.ndarray) -> Any:
    with cg.CudaEngine("host") as engine:
        engine.add(block)
        for port, array in zip(block.inputs, arrays, strict=True):
            engine.bind(port, array)
        engine.update()
        return [engine.read(port) for port in block.outputs]


def same(block: Any, arrays: Any, *expected: Any) -> None:
    given = run(block, *(arrays if isinstance(arrays, tuple) else (arrays,)))
    for one, wanted in zip(given, expected, strict=True):
        assert one.shape == tuple(wanted.shape)
        np.testing.assert_array_equal(one, np.asarray(wanted))


@pytest.mark.parametrize("pair", list(combinations(range(4), 2)))
def test_transpose(pair):
    low, high = pair
    same(Transpose(high, low), X, THEIRS.transpose(low, high))
    same(Transpose(low - 4, high - 4), X, THEIRS.transpose(low, high))


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_permute(order):
    same(Permute(*order), X, THEIRS.permute(order))


@pytest.mark.parametrize("size", [1, 31, 33, 64, 65, 130])
def test_tiles_that_are_not_full(size):
    x = np.random.default_rng(0).integers(-100, 100, (2, size, 67)).astype(np.int8)
    same(Transpose(), x, torch.from_numpy(x).transpose(1, 2))


@pytest.mark.parametrize("axis", AXES)
def test_parts(axis):
    length = X.shape[axis]
    same(Split([1, length - 1], axis), X, *torch.split(THEIRS, [1, length - 1], axis))
    same(Chunk(2, axis), X, *torch.chunk(THEIRS, 2, axis))
    same(Slice(-100, -1, axis=axis), X, THEIRS.narrow(axis, 0, length - 1))
    same(Slice(length=2, start=50, axis=axis), X, THEIRS.narrow(axis, length - 2, 2))
    same(Slice(1, step=2, axis=axis), X, THEIRS.index_select(axis, torch.arange(1, length, 2)))


@pytest.mark.parametrize("axis", AXES)
def test_joins_and_copies(axis):
    y = X[..., ::-1].copy()
    same(Concatenate(2, axis), (X, y), torch.cat([THEIRS, torch.from_numpy(y)], axis))
    same(Stack(2, axis), (X, y), torch.stack([THEIRS, torch.from_numpy(y)], axis))
    same(Repeat(3, axis), X, torch.cat([THEIRS] * 3, axis))
    same(Repeat(3, axis, interleaved=True), X, THEIRS.repeat_interleave(3, axis))
    same(Flip(axis), X, THEIRS.flip(axis))
    for shift in (-7, 0, 2):
        same(Roll(shift, axis), X, THEIRS.roll(shift, axis))
    index = np.array([1, 0, 1, 1])
    same(Gather(axis), (X, index), THEIRS.index_select(axis, torch.from_numpy(index)))


@pytest.mark.parametrize("axis", range(-5, 5))
def test_dimensions_of_one(axis):
    longer = THEIRS.unsqueeze(axis)
    same(Unsqueeze(axis), X, longer)
    same(Squeeze(axis), longer.numpy(), THEIRS)
    same(Expand(4, axis), longer.numpy(), torch.cat([longer] * 4, axis))


@pytest.mark.parametrize("dims", [(0, -1), (1, -1), (0, 1), (1, 2), (-2, -1), (-3, -2), (0, -2), (1, -2), (2, 2)])
def test_flatten(dims):
    same(Flatten(*dims), X, THEIRS.flatten(*dims))


def test_views_launch_nothing():
    chain = Sequential(Reshape((6, -1)), Unsqueeze(0), Flatten(1, 2), Squeeze(0), Slice(30, 90, axis=0), Identity())
    with cg.CudaEngine("host") as engine:
        engine.bind(engine.add(chain).inputs[0], X)
        engine.update()
        np.testing.assert_array_equal(engine.read(chain.outputs[0]), X.reshape(-1)[30:90])
    assert not any(block.description.work for _, block in chain.walk())


@pytest.mark.parametrize("pads", [(1, 2), (1, 0, 2, 1), (1, 2, 0, 1, 1, 1), (-1, 2, 1, -2)])
def test_constant_pads(pads):
    x = X.astype(np.float32)
    same(Pad(pads, value=2.5), x, torch.nn.functional.pad(torch.from_numpy(x), pads, value=2.5))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("pads", [(2, 1), (4, 0, 0, 3), (2, 1, 1, 2, 1, 0)])
def test_pads_from_the_inside(mode, pads):
    x = torch.from_numpy(X.astype(np.float32))
    shaped = {2: x.flatten(0, 1), 4: x, 6: x[None]}[len(pads)]
    same(Pad(pads, mode), shaped.numpy(), torch.nn.functional.pad(shaped, pads, mode))


@pytest.mark.parametrize(("height", "width", "top", "left"), [(8, 12, 0, 0), (5, 9, 2, 2), (3, 7, 2, 2), (1, 1, 4, 6)])
def test_a_crop_is_in_the_centre(height, width, top, left):
    """Odd differences: 8 - 5 and 12 - 9 give 1.5, which rounds to 2; 8 - 3 and 12 - 7 give 2.5, which rounds to 2."""
    same(Crop(height, width), IMAGE, IMAGE[..., top : top + height, left : left + width])


def test_a_crop_larger_than_the_image_is_padded():
    same(Crop(11, 13), IMAGE, np.pad(IMAGE, ((0, 0), (0, 0), (1, 2), (0, 1))))


@pytest.mark.parametrize("source", ["float16", "bfloat16", "float32", "float64", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("target", ["float16", "bfloat16", "float32", "float64", "int8", "int64", "uint8", "bool"])
def test_cast(source, target):
    """In range, where torch and C agree; 64-bit integers of many digits too."""
    from cudagraph.dtypes import parse_dtype

    values = np.array([0, 0.4, 1, 1.6, 2.5, 100, 126.99, 3, 7.0625], np.float64)
    if source[0] in "fi" and target != "uint8":
        values = np.concatenate((values, -values))
    x = values.astype(parse_dtype(source))
    theirs = torch.from_numpy(values).to(getattr(torch, source)).to(getattr(torch, target))
    (given,) = run(Cast(target), x)
    np.testing.assert_array_equal(given.astype(np.float64), theirs.to(torch.float64).numpy())
    assert given.dtype == parse_dtype(target)


@pytest.mark.parametrize("target", ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"])
def test_a_cast_to_integers_saturates(target):
    info = np.iinfo(target)
    (given,) = run(Cast(target), np.array([np.inf, -np.inf, np.nan, 1e30, -1e30, 2.0**64], np.float32))
    assert given.tolist() == [info.max, info.min, 0, info.max, info.min, info.max]


@pytest.mark.parametrize(("patch", "stride"), [(4, None), ((4, 3), None), (4, 2), ((2, 5), (3, 4))])
def test_patches_equal_unfold(patch, stride):
    expected = torch.nn.functional.unfold(torch.from_numpy(IMAGE), patch, stride=stride or patch).transpose(1, 2)
    same(ImageToPatches(patch, stride), IMAGE, expected)


@pytest.mark.parametrize("channels_last", [False, True])
def test_patches_and_back(channels_last):
    order = (0, 2, 4, 3, 5, 1) if channels_last else (0, 2, 4, 1, 3, 5)
    patches = np.ascontiguousarray(IMAGE.reshape(2, 3, 2, 4, 3, 4).transpose(order)).reshape(2, 6, 48)
    same(ImageToPatches(4, channels_last=channels_last), IMAGE, patches)
    same(PatchesToImage(4, 3, 8, 12, channels_last=channels_last), patches, IMAGE)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 9, 100])
def test_sequence_lengths(length):
    x = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    theirs = torch.from_numpy(x).transpose(1, 2)
    linear = torch.nn.functional.interpolate(theirs, size=length, mode="linear").transpose(1, 2)
    mean = torch.nn.functional.adaptive_avg_pool1d(theirs, length).transpose(1, 2)
    for mode, expected in (("linear", linear), ("mean", mean)):
        np.testing.assert_allclose(run(SequenceLengthAdapter(length, mode), x)[0], expected.numpy(), rtol=0, atol=2e-6)
    padded = torch.nn.functional.pad(theirs, (0, length - 4)).transpose(1, 2)
    same(SequenceLengthAdapter(length, "fit"), x, padded)


def test_dimensions():
    x = np.random.default_rng(0).standard_normal((2, 4, 6)).astype(np.float32)
    theirs = torch.nn.Linear(6, 9)
    ours = DimensionAdapter(6, 9)
    ours.load_state_dict({f"proj.{name}": value.detach().numpy() for name, value in theirs.state_dict().items()})
    np.testing.assert_allclose(run(ours, x)[0], theirs(torch.from_numpy(x)).detach().numpy(), rtol=0, atol=2e-6)
    mean = torch.nn.functional.adaptive_avg_pool1d(torch.from_numpy(x), 4)
    np.testing.assert_allclose(run(DimensionAdapter(6, 4, "mean"), x)[0], mean.numpy(), rtol=0, atol=1e-6)
    same(DimensionAdapter(6, 8, "fit"), x, torch.nn.functional.pad(torch.from_numpy(x), (0, 2)))


def test_batches():
    same(BatchAdapter(3), X, torch.cat([THEIRS, torch.zeros(1, 3, 4, 5, dtype=torch.int16)]))
    same(BatchAdapter(1), X, THEIRS[:1])
    same(BatchAdapter(5, "tile"), X, THEIRS[[0, 1, 0, 1, 0]])
    same(BatchAdapter(3, "fold"), X, THEIRS.reshape(3, 2, 4, 5))


def test_gather_reports_what_is_outside():
    gather = Gather()
    with cg.CudaEngine("host") as engine:
        engine.bind(engine.add(gather).x, X)
        engine.bind(gather.index, np.array([1, 2, -1], np.int32))
        engine.update(sync=True)
        assert not engine.read(gather.y)[1:].any()
        assert gather.debug.state == "error"
        assert "outside of the dimension" in gather.debug.message
