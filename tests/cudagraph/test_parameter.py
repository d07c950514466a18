"""Hot scalars: what they take, what they refuse, whom they tell."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from described import describe
from hypothesis import example, given
from hypothesis import strategies as st

from cudagraph.dirty import DirtyTracker
from cudagraph.errors import DescriptionError

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float16", "bfloat16", "float32", "float64"]


def parameter(default, dtype="float32", **bounds):
    return describe(lambda block, b: setattr(block, "p", b.parameter("p", default, dtype, **bounds))).p


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS, "bool"])
def test_every_scalar_type_packs_as_numpy(dtype):
    p = parameter(1, dtype)
    for value in (0, 1):
        p.value = value
        assert p.pack() == np.array([value]).astype(p.dtype).tobytes()
    assert p.type_name == dtype


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_held_to_the_limits_of_their_type(dtype):
    limits = np.iinfo(dtype)
    p = parameter(0, dtype)
    for value in (int(limits.min), int(limits.max), np.array(limits.max)[()]):
        p.value = value
        assert p.pack() == np.array(value, dtype).tobytes()
    for value in (int(limits.min) - 1, int(limits.max) + 1):
        with pytest.raises(
            DescriptionError, match=rf"p = {value} is out of range: {limits.min} to {limits.max} \({dtype}\)"
        ):
            p.value = value
    assert p.value == limits.max


def test_bounds_cannot_be_wider_than_the_type():
    p = parameter(0, "uint8", low=-10, high=1000)
    for value in (-1, 256):
        with pytest.raises(DescriptionError, match="out of range: 0 to 255"):
            p.value = value


@pytest.mark.parametrize(("low", "high"), [(2, 1), (math.nan, None), (None, math.nan)])
def test_bounds_that_leave_nothing_are_refused(low, high):
    with pytest.raises(DescriptionError, match="p: no float32 is between low="):
        parameter(1.5, low=low, high=high)


def test_bounds_are_inclusive_and_hold_for_the_default():
    p = parameter(1.0, low=0.0, high=4.0)
    for value in (0.0, 4.0):
        p.value = value
    for value in (np.nextafter(4.0, 5.0), -1e-30, math.inf, -math.inf, math.nan):
        with pytest.raises(DescriptionError, match=r"out of range: 0.0 to 4.0 \(float32\)"):
            p.value = value
    assert p.value == 4.0
    with pytest.raises(DescriptionError, match="p = 5 is out of range"):
        parameter(5, low=0, high=4)


def test_nan_and_infinity_pass_where_there_are_no_bounds():
    p = parameter(0.0)
    p.value = math.inf
    p.value = math.nan
    assert np.isnan(np.frombuffer(p.pack(), np.float32))
    with pytest.raises(DescriptionError, match="out of range"):
        parameter(0.0, high=1.0).value = math.nan
    with pytest.raises(DescriptionError, match="out of range"):
        parameter((0, 0), "float2", low=0.0).value = (math.nan, 0.0)
    parameter((0, 0), "float2").value = (0.0, math.nan)


@pytest.mark.parametrize(
    ("dtype", "wrong"),
    [
        ("float32", "1.5"), ("float32", b"1"), ("float32", None), ("float32", [1.0, 2.0]), ("float32", 1j),
        ("float32", 10**400),
        ("int32", 1.0), ("int32", "1"), ("int32", None), ("int32", np.float32(1)), ("int32", math.nan),
        ("bool", "yes"), ("bool", 2), ("bool", None), ("bool", np.array([True, False])),
        ("float3", 1.0), ("float3", (1, 2)), ("float3", (1, 2, 3, 4)), ("float3", ("1", 2, 3)), ("float3", None),
        ("int2", (1.5, 2)), ("uint2", "12"),
    ],
)  # fmt: skip
def test_wrong_types_are_refused(dtype, wrong):
    p = parameter((0,) * int(dtype[-1]) if dtype[-1] in "34" or dtype in ("int2", "uint2") else 0, dtype)
    before = p.value
    with pytest.raises(DescriptionError, match=rf"described.p is {dtype}; it cannot take "):
        p.value = wrong
    assert p.value == before


@pytest.mark.parametrize(
    ("dtype", "value", "wanted"),
    [("float32", 2, 2.0), ("float32", np.float16(0.5), 0.5), ("float32", np.array(3.0), 3.0), ("int32", np.uint8(7), 7),
     ("int32", True, 1), ("bool", 1, True), ("bool", np.False_, False), ("float2", np.array([1, 2]), (1.0, 2.0)),
     ("float32", ml_dtypes.bfloat16(2), 2.0)],
)  # fmt: skip
def test_what_else_is_taken(dtype, value, wanted):
    p = parameter((5, 5) if dtype == "float2" else 0, dtype)
    p.value = value
    assert p.value == wanted


@pytest.mark.parametrize("dtype", ["float2", "float3", "float4", "double2", "int3", "uint4"])
def test_short_vectors(dtype):
    width = int(dtype[-1])
    p = parameter(tuple(range(width)), dtype)
    assert (p.width, p.type_name, p.value) == (width, dtype, tuple(range(width)))
    assert p.pack() == np.arange(width).astype(p.dtype).tobytes()


def test_bounds_of_a_vector_hold_for_each_element():
    p = parameter((0, 0, 0), "float3", low=-1, high=1)
    p.value = (1, -1, 0)
    with pytest.raises(DescriptionError, match=r"p = \(0, 2, 0\) is out of range: -1 to 1 \(float3\)"):
        p.value = (0, 2, 0)


@pytest.mark.parametrize("dtype", ["T", "float5", np.dtype([("a", "f4")]), None])
def test_types_that_are_no_parameter(dtype):
    with pytest.raises(DescriptionError):
        parameter(0, dtype)


def test_changes_reach_tracker_mirror_and_callbacks_once():
    p = parameter(1.0)
    tracker, mirror, seen = DirtyTracker(), np.zeros(3, np.float32), []
    p.attach(tracker)
    p.mirror, p.slot = mirror, 1
    stop = p.on_change(seen.append)
    p.value = 1.0  # equal: nothing happens
    assert not tracker.dirty
    assert mirror[1] == 0
    p.value = 2
    assert list(tracker.parameters) == [p]
    assert not tracker.cold
    assert mirror.tolist() == [0, 2, 0]
    stop()
    p.value = 3.0
    assert seen == [2.0]
    p.attach(None)
    assert p.mirror is None


def test_a_refused_value_tells_nobody():
    p = parameter(1.0, high=2.0)
    tracker, seen = DirtyTracker(), []
    p.attach(tracker)
    p.on_change(seen.append)
    with pytest.raises(DescriptionError):
        p.value = 3.0
    assert not tracker.dirty
    assert not seen


def test_a_callback_may_set_other_parameters():
    one, other = parameter(0.0), parameter(0.0)
    one.on_change(lambda value: setattr(other, "value", 2 * value))
    one.value = 4
    assert other.value == 8


@given(st.floats(), st.floats())
@example(0.0, -0.0)
def test_equal_values_are_those_with_the_same_bits(first, second):
    p = parameter(first, "float64")
    tracker = DirtyTracker()
    p.attach(tracker)
    p.value = second
    same = p.pack() == np.float64(first).tobytes()
    assert np.float64(p.value).tobytes() == np.float64(second).tobytes() or math.isnan(second)
    assert tracker.dirty != same or math.isnan(second)


def test_printing_and_path():
    p = parameter((1, 2), "float2")
    assert (p.path, repr(p)) == ("described.p", "described.p: float2 = (1.0, 2.0)")
