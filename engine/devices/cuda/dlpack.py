"""Reading a DLPack capsule: address, shape and dtype of somebody else's array. No CUDA package is needed for it."""

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
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    tensor = _Tensor.from_address(get(capsule, b"dltensor"))
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
