"""Weights, states and scratch: first contents, and what may be assigned."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from described import describe
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cudagraph.dirty import DirtyTracker
from cudagraph.errors import CudaGraphError, DescriptionError, ShapeError


def weight(shape, dtype="float32", init=None):
    return describe(lambda block, b: setattr(block, "w", b.weight("w", shape, dtype, init))).w


def state(shape, dtype="float32", init=0):
    return describe(lambda block, b: setattr(block, "s", b.state("s", shape, dtype, init))).s


@pytest.mark.parametrize("make", [weight, state])
@pytest.mark.parametrize(
    ("init", "wanted"),
    [(None, 0), (2, 2), (np.float64(3), 3), ([[1, 2], [3, 4]], [[1, 2], [3, 4]]), (np.eye(2), np.eye(2)),
     (lambda shape, dtype: np.full(shape, 7, dtype), 7)],
)  # fmt: skip
def test_first_contents(make, init, wanted):
    value = make((2, 2), "float32", init).value
    np.testing.assert_array_equal(value, np.broadcast_to(wanted, (2, 2)))
    assert value.dtype == np.float32
    assert value.flags.c_contiguous


@pytest.mark.parametrize("make", [weight, state])
def test_first_contents_of_another_shape_are_refused_at_once(make):
    with pytest.raises(ShapeError, match=r"[ws] has the shape \[2, 3\]; its initial value has \[3\]"):
        make((2, 3), "float32", np.ones(3))
    with pytest.raises(ShapeError, match=r"its initial value has \[3, 2\]"):
        _ = make((2, 3), "float32", lambda shape, dtype: np.ones(shape[::-1])).value


def test_an_initialiser_is_called_when_the_contents_are_wanted():
    calls = []
    w = weight((3,), "float16", lambda shape, dtype: calls.append((shape, dtype)) or np.ones(shape))
    assert not calls
    assert w.value.dtype == np.float16
    assert w.value is w.value
    assert calls == [((3,), np.float16)]


@pytest.mark.parametrize("make", [weight, state])
def test_assigning_copies_marks_and_is_read_only(make):
    tensor = make((2,))
    tracker = DirtyTracker()
    tensor.attach(tracker)
    given_array = np.array([1, 2], np.float32)
    tensor.value = given_array
    given_array[0] = 9
    np.testing.assert_array_equal(tensor.value, [1, 2])
    assert list(tracker.contents) == [tensor]
    with pytest.raises(ValueError, match="read-only"):
        tensor.value[0] = 3


@pytest.mark.parametrize("make", [weight, state])
@pytest.mark.parametrize(
    ("dtype", "wrong", "message"),
    [
        ("float32", np.ones(3), r"has the shape \[2\]; it cannot take an array of \[3\]"),
        ("float32", 1.0, r"cannot take an array of \[\]"),
        ("float32", np.ones((2, 1)), r"cannot take an array of \[2, 1\]"),
        ("float32", np.ones(2, complex), "holds float32; converting complex128 would lose values"),
        ("int32", np.ones(2), "holds int32; converting float64 would lose values"),
        ("int32", np.ones(2, ml_dtypes.bfloat16), "holds int32; converting bfloat16"),
        ("int8", np.array([1, 300]), "holds int8; converting int64"),
        ("uint8", np.array([-1, 3]), "holds uint8; converting int64"),
        ("bool", np.ones(2), "holds bool; converting float64"),
        ("float32", ["a", "b"], "holds float32; converting str"),
        ("float32", [[1], [2, 3]], "takes an array, which list is not"),
        ("float32", [None, 1], "holds float32; converting object"),
        ("float32", np.zeros(2, "M8[s]"), "converting datetime64"),
        ("float32", np.zeros(2, [("a", "f4")]), r"converting record\(a\)"),
        (np.dtype([("a", "f4"), ("b", "f4")]), np.ones(2), r"holds record\(a, b\); converting float64"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_changes_nothing(make, dtype, wrong, message):
    tensor = make((2,), dtype)
    tracker = DirtyTracker()
    tensor.attach(tracker)
    before = tensor.value.copy()
    with pytest.raises(CudaGraphError, match=message):
        tensor.value = wrong
    np.testing.assert_array_equal(tensor.value, before)
    assert not tracker.dirty


@given(
    arrays.arrays(st.sampled_from(["f2", "f4", "f8", "i1", "i4", "i8", "u1", "u8", "?"]), 3),
    st.sampled_from(["f4", "f8", "i1", "i4", "u2", "?"]),
)
def test_integers_are_taken_whole_or_not_at_all(given_array, dtype):
    w = weight((3,), dtype)
    try:
        w.value = given_array
    except DescriptionError:
        target = np.dtype(dtype)
        exact = target.kind == "f" or (given_array.dtype.kind in "iu?b" and target.kind == "b")
        assert not exact
        return
    if np.dtype(dtype).kind in "iu":
        assert [int(v) for v in w.value] == [int(v) for v in given_array]


def test_a_float_too_large_becomes_infinite():
    w = weight((2,), "float16")
    w.value = [1e30, -1.0]
    assert w.value.tolist() == [np.inf, -1.0]


def test_records():
    particle = np.dtype([("position", "f4", 3), ("mass", "f4")])
    w = weight((2,), particle)
    array = np.ones(2, particle)
    w.value = array
    assert (w.value == array).all()


def test_a_weight_has_fixed_dimensions():
    for shape in (("n",), (..., 2)):
        with pytest.raises(DescriptionError, match="a weight's shape is made of ints, not"):
            weight(shape)


class Live:
    """An engine that runs a state, or has not yet."""

    def __init__(self, contents=None):
        self.contents = contents
        self.reads = 0

    def read(self, tensor):
        self.reads += 1
        if self.contents is None:
            raise DescriptionError("nothing has run yet")
        return self.contents


def test_a_state_is_read_from_the_engine_that_runs_it():
    s = state((2,))
    s.attach(DirtyTracker(), Live(np.array([5, 6], np.float32)))
    np.testing.assert_array_equal(s.value, [5, 6])
    s.value = [1, 2]
    np.testing.assert_array_equal(s.value, [1, 2])
    assert s.live.reads == 1  # its shape is known: no need to ask the device
    pending = s.pending
    np.testing.assert_array_equal(pending, [1, 2])
    s.sent(np.array(pending))  # other contents
    assert s.pending is pending
    s.sent(pending)
    assert s.pending is None
    np.testing.assert_array_equal(s.value, [5, 6])


def test_a_state_works_between_attach_and_the_first_frame():
    s = state((2,), init=4)
    s.attach(DirtyTracker(), Live())
    np.testing.assert_array_equal(s.value, [4, 4])
    s.value = [1, 2]
    np.testing.assert_array_equal(s.value, [1, 2])


def test_a_pending_value_outlives_the_engine():
    s = state((2,))
    s.attach(DirtyTracker(), Live(np.zeros(2, np.float32)))
    s.value = [1, 2]
    s.attach(None)
    np.testing.assert_array_equal(s.value, [1, 2])
    np.testing.assert_array_equal(s.init, [1, 2])


def test_a_state_whose_shape_depends_on_its_inputs():
    s = state(("n",))
    for use in (lambda: s.value, lambda: setattr(s, "value", [1.0])):
        with pytest.raises(ShapeError, match=r"described.s: float32\[n\] has no size yet: add its block to an engine"):
            use()
    s.attach(DirtyTracker(), Live(np.zeros(3, np.float32)))
    s.value = [1, 2, 3]
    with pytest.raises(ShapeError, match=r"\[3\]"):
        s.value = [1, 2]
    s.attach(None)
    np.testing.assert_array_equal(s.value, [1, 2, 3])


def test_tensors_print_like_ports():
    assert repr(state((..., "n"), "int8")) == "described.s: int8[..., n]"
    assert str(weight((2, 3)).size) == "w.size"
