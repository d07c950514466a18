"""Element types: what a port may hold, and what a kernel calls it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np

from .errors import DescriptionError

_SCALARS = {
    "float32": "float",
    "float64": "double",
    "float16": "__half",
    "bfloat16": "__nv_bfloat16",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long long",
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "uint32": "unsigned int",
    "uint64": "unsigned long long",
    "bool": "bool",
}
_SPELLINGS = {
    "half": "float16",
    "nv_bfloat16": "bfloat16",
    "unsigned": "uint32",
    "char": "int8",
    "short int": "int16",
    "unsigned short int": "uint16",
    "signed": "int32",
    "signed int": "int32",
    "long": "int64",
    "long int": "int64",
    "long long int": "int64",
    "unsigned long": "uint64",
    "unsigned long int": "uint64",
    "unsigned long long int": "uint64",
    "size_t": "uint64",
    "uchar": "uint8",
    "ushort": "uint16",
    "uint": "uint32",
}
_VECTORS = {"float": "float32", "double": "float64", "int": "int32", "uint": "uint32"}

HEADERS: Mapping[str, str] = MappingProxyType({"__half": "cuda_fp16.h", "__nv_bfloat16": "cuda_bf16.h"})


def _numpy(name: str) -> np.dtype[Any]:
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


_BY_NAME = {name: _numpy(name) for name in _SCALARS}
_C_NAMES = {_BY_NAME[name]: ctype for name, ctype in _SCALARS.items()}

C_TYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {ctype: _BY_NAME[name] for name, ctype in _SCALARS.items()}
    | {ctype: _BY_NAME[name] for ctype, name in _SPELLINGS.items()}
    | {f"{name}_t": _BY_NAME[name] for name in _SCALARS if "int" in name}
)
"""C++ spellings of the scalar types, by name."""

VECTOR_TYPES: Mapping[str, tuple[np.dtype[Any], int]] = MappingProxyType(
    {f"{c}{width}": (_BY_NAME[name], width) for c, name in _VECTORS.items() for width in (2, 3, 4)}
)
"""CUDA's short vectors: element type and width."""


def parse_dtype(spec: object) -> np.dtype[Any]:
    """The NumPy dtype for a name, a NumPy or ml_dtypes type, or a structured dtype; `DescriptionError` otherwise."""
    if isinstance(spec, str) and spec in _BY_NAME:
        return _BY_NAME[spec]
    try:
        dtype = None if spec is None else np.dtype(spec)  # type: ignore[call-overload]
    except (TypeError, ValueError, SyntaxError):
        dtype = None
    if dtype is None or dtype.hasobject or not (dtype.names or dtype in _C_NAMES):
        raise DescriptionError(
            f"{spec!r} is not an element type; choose one of {', '.join(_SCALARS)}, or a structured dtype"
        )
    return dtype


def c_type(dtype: np.dtype[Any]) -> str:
    """The C++ name of a scalar dtype, such as "float" or "__nv_bfloat16"."""
    try:
        return _C_NAMES[dtype]
    except KeyError:
        raise DescriptionError(f"{dtype} has no scalar C++ type; choose one of {', '.join(_SCALARS)}") from None


def packer(dtype: np.dtype[Any]) -> Callable[[Any], bytes]:
    """A fast function from a value to the bytes of a scalar dtype. Too large a float becomes infinite, as in C."""

    def converted(value: Any) -> bytes:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(value).astype(dtype).tobytes()

    try:
        pack = struct.Struct(dtype.char).pack
    except struct.error:  # bfloat16
        return converted

    def packed(value: Any) -> bytes:
        try:
            return pack(value)
        except OverflowError:
            return converted(value)

    return packed


def pack_scalar(value: Any, dtype: np.dtype[Any]) -> bytes:
    """The bytes of one value of a scalar dtype."""
    return _PACKERS[dtype](value)


def show(dtype: np.dtype[Any] | str) -> str:
    """How messages spell a dtype: its name, or the fields of a structured one."""
    if isinstance(dtype, str):
        return dtype
    return f"record({', '.join(dtype.names)})" if dtype.names else dtype.name


_PACKERS = {dtype: packer(dtype) for dtype in _C_NAMES}
