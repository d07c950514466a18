"""Weights and states by torch-style names, all or nothing."""

from __future__ import annotations

import numpy as np
import pytest
from described import describe
from hypothesis import given
from hypothesis import strategies as st

from cudagraph.dirty import DirtyTracker
from cudagraph.errors import DescriptionError


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
