"""Element types: every way to name one, and how a scalar's bytes look."""

from __future__ import annotations

import struct

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cudagraph.dtypes import C_TYPES, HEADERS, VECTOR_TYPES, c_type, pack_scalar, parse_dtype, show
from cudagraph.errors import DescriptionError

NAMES = "float32 float64 float16 bfloat16 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split()


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_a_dtype_with_a_c_type_of_its_own(name):
    dtype = parse_dtype(name)
    assert show(dtype) == dtype.name == name
    assert C_TYPES[c_type(dtype)] == dtype
    assert parse_dtype(dtype) is dtype or parse_dtype(dtype) == dtype


def test_c_types_are_all_different():
    assert len({c_type(parse_dtype(name)) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [(float, "float64"), (int, "int64"), (bool, "bool"), (np.float32, "float32"), ("f4", "float32"), ("<i2", "int16"),
     (ml_dtypes.bfloat16, "bfloat16"), (np.longlong, "int64"), (np.dtype("u1"), "uint8")],
)  # fmt: skip
def test_other_spellings(given, wanted):
    assert show(parse_dtype(given)) == wanted


def test_records_are_element_types():
    particle = np.dtype([("position", "f4", 3), ("mass", "f4")])
    assert parse_dtype(particle) == particle
    assert show(particle) == "record(position, mass)"
    assert show("T") == "T"
    with pytest.raises(DescriptionError, match="no scalar C"):
        c_type(particle)


@pytest.mark.parametrize(
    "wrong",
    [None, "T", "bogus", "", 3, [], object, "O", "U4", "datetime64[s]", ">f4", complex, np.longdouble, [("a", "O")],
     [("a", "f4"), ("a", "f4")], {"names": ["a"], "formats": []}, np.dtype(("f4", 3)), "(2,"],
)  # fmt: skip
def test_anything_else_is_refused_with_the_choices(wrong):
    with pytest.raises(DescriptionError, match=r"choose one of float32, float64, .*bool, or a structured dtype"):
        parse_dtype(wrong)


def test_c_spellings():
    assert C_TYPES["unsigned"] == C_TYPES["uint32_t"] == C_TYPES["uint"] == np.uint32
    assert C_TYPES["size_t"] == np.uint64
    assert C_TYPES["char"] == np.int8
    assert VECTOR_TYPES["float3"] == (np.float32, 3)
    assert VECTOR_TYPES["uint4"] == (np.uint32, 4)
    assert set(HEADERS) == {c_type(parse_dtype("float16")), c_type(parse_dtype("bfloat16"))}


@given(st.sampled_from(NAMES), st.integers(-128, 255))
def test_packing_equals_numpy(name, value):
    dtype = parse_dtype(name)
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        return
    value = bool(value) if name == "bool" else value
    assert pack_scalar(value, dtype) == np.array([value]).astype(dtype).tobytes()


@given(st.floats(width=32))
def test_floats_keep_every_bit(value):
    assert pack_scalar(value, np.dtype(np.float32)) == struct.pack("<f", value)


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_a_float_too_large_becomes_infinite(name):
    dtype = parse_dtype(name)
    for value in (1e300, -1e300):
        assert np.frombuffer(pack_scalar(value, dtype), dtype)[0] == np.sign(value) * np.inf
