"""DLPack capsules: reading somebody else's, and making ours. NumPy cannot do it for device memory or bfloat16."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

CUDA = 2  # kDLCUDA
CUDA_MANAGED = 13

_KINDS = {0: "i", 1: "u", 2: "f", 6: "b"}
_BFLOAT = 4
_NAME = b"dltensor"

# By address, not as Python objects: a capsule that is being destroyed must not be revived by a reference.
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class _Tensor(ctypes.Structure):
    """`DLTensor` of dlpack.h."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


@dataclass(frozen=True, slots=True)
class TensorView:
    """What a capsule says. `strides` are in elements; None means C order."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    dtype: np.dtype[Any]
    device: tuple[int, int]


def read_capsule(capsule: object) -> TensorView | None:
    """The contents of an unversioned capsule, which stays untouched; None for element types NumPy has no name for."""
    tensor = _Tensor.from_address(_get_pointer(id(capsule), _NAME))
    dtype = _dtype(tensor)
    if dtype is None:
        return None
    ndim = tensor.ndim
    strides = tuple(tensor.strides[:ndim]) if tensor.strides else None
    address = (tensor.data or 0) + tensor.byte_offset
    return TensorView(address, tuple(tensor.shape[:ndim]), strides, dtype, (tensor.device_type, tensor.device_id))


def _dtype(tensor: _Tensor) -> np.dtype[Any] | None:
    if tensor.lanes != 1 or tensor.bits % 8:
        return None
    if tensor.code == _BFLOAT:
        return np.dtype(ml_dtypes.bfloat16)
    kind = _KINDS.get(tensor.code)
    return np.dtype(f"{kind}{tensor.bits // 8}") if kind else None


class _Managed(ctypes.Structure):
    """`DLManagedTensor` of dlpack.h."""

    _fields_ = [("tensor", _Tensor), ("manager_context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


# Capsules that are alive, by the address of their structure: it has to stay until its deleter is called.
_exported: dict[int, tuple[object, ...]] = {}


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _delete(address: int) -> None:
    _exported.pop(address, None)


@ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
def _destroy(capsule: int) -> None:
    """Called for a capsule that goes away: one that nobody consumed still has its first name."""
    if _is_valid(capsule, _NAME):
        _exported.pop(_get_pointer(capsule, _NAME), None)


def make_capsule(
    address: int, shape: tuple[int, ...], dtype: np.dtype[Any], device: tuple[int, int], owner: object
) -> object:
    """An unversioned capsule over dense memory; `owner` lives as long as a consumer holds on to it."""
    code = _BFLOAT if dtype.name == "bfloat16" else next((c for c, kind in _KINDS.items() if kind == dtype.kind), None)
    if code is None:
        raise BufferError(f"DLPack has no name for {dtype}")
    dims = (ctypes.c_int64 * max(len(shape), 1))(*shape)
    tensor = _Tensor(address, *device, len(shape), code, dtype.itemsize * 8, 1, dims, None, 0)
    managed = _Managed(tensor, None, ctypes.cast(_delete, ctypes.c_void_p))
    place = ctypes.addressof(managed)
    _exported[place] = (managed, dims, owner)
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return new(place, _NAME, ctypes.cast(_destroy, ctypes.c_void_p))


def is_c_contiguous(shape: tuple[int, ...], strides: tuple[int, ...] | None) -> bool:
    """Whether element strides describe a dense C-order array. Axes of length one may have any stride."""
    if strides is None or 0 in shape:
        return True
    expected = 1
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length != 1 and stride != expected:
            return False
        expected *= length
    return True
