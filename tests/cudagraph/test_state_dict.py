"""Weights and states by torch-style names, all or nothing."""

from __future__ import annotations

import numpy as np
import pytest
from described import describe
from hypothesis import given
from hypothesis import strategies as st

from cudagraph.dirty import DirtyTracker
from cudagraph.errors import DescriptionError, ShapeError


def linear(block, b):
    block.weight = b.weight("weight", (2, 3), init=1)
    block.count = b.state("count", (1,), "int64")
    b.state("cache", (1,), persistent=False)
    b.scratch((4,))


def network(block, b):
    block.bias = b.weight("bias", (3,), "float16")
    block.layers = [b.child(describe(linear)), b.child(describe(linear))]
    block.head = b.child(describe(linear))


NAMES = ["bias", *(f"{name}.{kind}" for name in ("layers.0", "layers.1", "head") for kind in ("weight", "count"))]


@pytest.fixture
def block():
    return describe(network)


def good():
    arrays = {name: np.full((2, 3), i) if name.endswith("weight") else np.array([i]) for i, name in enumerate(NAMES)}
    return arrays | {"bias": np.arange(3)}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_names(block):
    assert list(block.state_dict()) == NAMES


def test_names_are_those_of_torch(block):
    torch = pytest.importorskip("torch")

    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2, 3))
            self.register_buffer("count", torch.zeros(1, dtype=torch.int64))
            self.register_buffer("cache", torch.zeros(1), persistent=False)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.zeros(3, dtype=torch.float16))
            self.layers = torch.nn.ModuleList([Linear(), Linear()])
            self.head = Linear()

    module = Network()
    assert list(module.state_dict()) == NAMES
    torch.nn.init.normal_(module.head.weight)
    report = block.load_state_dict(module.state_dict())
    assert report.complete
    np.testing.assert_array_equal(block.weights["head/weight"].value, module.head.weight.detach())


def test_state_dict_is_a_copy(block):
    arrays = block.state_dict()
    arrays["bias"][:] = 5
    assert not block.state_dict()["bias"].any()


@pytest.mark.parametrize("attached", [False, True])
def test_a_round_trip(block, attached):
    tracker = DirtyTracker()
    if attached:
        block.attach(None, tracker, None)
    report = block.load_state_dict(good())
    assert report.complete
    assert report.loaded == tuple(sorted(NAMES))
    assert str(report) == "7 loaded"
    assert same(block.state_dict(), good())
    assert {tensor.path for tensor in tracker.contents} == ({f"described.{n}" for n in ("bias",)} | {
        f"described/{child}.{name}" for child in ("layers/0", "layers/1", "head") for name in ("weight", "count")
    } if attached else set())  # fmt: skip
    other = describe(network)
    other.load_state_dict(block.state_dict())
    assert same(other.state_dict(), block.state_dict())


WRONG = {
    "bias": [
        np.ones(4),
        np.ones(3, complex),
        np.array(["a", "b", "c"]),
        np.ones(3, [("a", "f4")]),
        [[1], [2, 3]],
        None,
    ],
    "head.count": [np.ones(1), np.ones(2, int), 1, np.ones(1, bool) * 1.5, np.array([2**63], np.uint64)],
}


@given(
    st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(["extra", "layers.2.weight", "head/weight"])),
    st.sampled_from([None, *((name, i) for name, values in WRONG.items() for i in range(len(values)))]), st.booleans(),
)  # fmt: skip
def test_all_or_nothing(missing, unexpected, wrong, strict):
    block = describe(network)
    before = block.state_dict()
    arrays = {name: value for name, value in good().items() if name not in missing} | dict.fromkeys(
        unexpected, np.ones(1)
    )
    if wrong and wrong[0] not in missing:
        arrays[wrong[0]] = WRONG[wrong[0]][wrong[1]]
    else:
        wrong = None
    bad = {wrong[0]} if wrong else set()
    fitting = arrays.keys() - unexpected - bad
    if strict and (missing or unexpected or bad):
        with pytest.raises(
            DescriptionError, match=r"nothing was changed. Pass strict=False to load what fits"
        ) as error:
            block.load_state_dict(arrays)
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("mismatched", bad)):
            assert (f"{len(names)} {kind}: " in str(error.value)) == bool(names)
        assert same(block.state_dict(), before)
        return
    report = block.load_state_dict(arrays, strict=strict)
    assert (set(report.loaded), set(report.missing), set(report.unexpected)) == (fitting, missing, unexpected)
    assert [line.partition(":")[0] for line in report.mismatched] == sorted(bad)
    assert report.complete == (not (missing or unexpected or bad))
    assert same(block.state_dict(), before | {name: np.asarray(good()[name]) for name in fitting})


def test_the_report_says_what_is_wrong(block):
    with pytest.raises(DescriptionError) as error:
        block.load_state_dict(good() | {"bias": np.ones(4), "head.count": np.ones(1), "what": 1})
    text = str(error.value)
    assert text.startswith("described did not load the arrays (5 loaded; 1 unexpected: what; 2 mismatched: ")
    assert "bias: described.bias has the shape [3]; it cannot take an array of [4]" in text
    assert "head.count: described/head.count holds int64; converting float64 would lose values" in text


def test_long_lists_are_cut(block):
    report = block.load_state_dict({f"n{i}": 1 for i in range(20)}, strict=False)
    assert "n0, n1, n10, n11, n12, n13, n14, n15, and 12 more" in str(report)
    assert len(report.unexpected) == 20


def test_a_state_of_unknown_size_is_reported():
    block = describe(lambda block, b: b.state("s", ("n",)))
    report = block.load_state_dict({"s": np.ones(2)}, strict=False)
    assert "s: described.s: float32[n] has no size yet" in report.mismatched[0]


def packed(block, b):
    block.weight = b.weight("gate_up", (5, 3), init=lambda shape, dtype: np.arange(15, dtype=dtype).reshape(shape))
    b.stored_as(block.weight, {"gate.weight": 2, "up.weight": 3})


def conv1d(block, b):
    block.inner = b.child(describe(packed))
    block.plain = b.weight("plain", (2, 4), init=lambda shape, dtype: np.arange(8, dtype=dtype).reshape(shape))
    b.stored_as(block.plain, "c.weight", transpose=True)
    b.stored_as(block.plain, {"left": 1, "right": 3}, axis=1)


def test_a_packed_weight_is_given_out_and_taken_in_parts():
    block = describe(packed)
    arrays = block.state_dict()
    assert {name: array.shape for name, array in arrays.items()} == {"gate.weight": (2, 3), "up.weight": (3, 3)}
    arrays["gate.weight"] += 100
    assert block.load_state_dict(arrays).loaded == ("gate.weight", "up.weight")
    np.testing.assert_array_equal(block.weight.value[:, 0], [100, 103, 6, 9, 12])
    block.load_state_dict({"gate_up": np.zeros((5, 3))})  # its own name is another way
    assert not block.weight.value.any()


def test_layouts_of_inner_and_outer_blocks():
    block = describe(conv1d)
    arrays = block.state_dict()
    assert list(arrays) == ["c.weight", "inner.gate.weight", "inner.up.weight"]
    np.testing.assert_array_equal(arrays["c.weight"], block.plain.value.T)
    arrays["c.weight"] = np.arange(8).reshape(4, 2) * 2
    block.load_state_dict(arrays)
    np.testing.assert_array_equal(block.plain.value, arrays["c.weight"].T)
    block.load_state_dict({"left": np.zeros((2, 1)), "right": np.ones((2, 3))}, strict=False)
    np.testing.assert_array_equal(block.plain.value, [[0, 1, 1, 1]] * 2)


def test_a_second_copy_under_another_known_name_is_expected():
    block = describe(conv1d)
    arrays = block.state_dict()
    assert block.load_state_dict(arrays | {"plain": block.plain.value}).complete


def test_wrong_parts_are_named():
    block = describe(packed)
    report = block.load_state_dict({"gate.weight": np.zeros((2, 3))}, strict=False)
    assert report.missing == ("up.weight",) and not report.loaded
    report = block.load_state_dict({"gate.weight": np.zeros((3, 2)), "up.weight": np.zeros((3, 3))}, strict=False)
    assert "its part of" in report.mismatched[0] and "the array is [3, 2]" in report.mismatched[0]
    with pytest.raises(DescriptionError, match="cannot be stored so; axis is from -2 to 1"):
        describe(lambda block, b: b.stored_as(b.weight("w", (2, 3)), {"a": 2}, axis=2))
    with pytest.raises(ShapeError, match="a 2 \\+ b 2 is not the length of axis 1"):
        describe(lambda block, b: b.stored_as(b.weight("w", (2, 3)), {"a": 2, "b": 2}, axis=1))
    with pytest.raises(DescriptionError, match="takes a weight of this block"):
        describe(lambda block, b: b.stored_as(describe(packed).weight, "x"))
