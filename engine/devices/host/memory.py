"""Host memory as NumPy arrays."""

from __future__ import annotations

import ctypes
from math import prod
from typing import Any

import numpy as np


def array_at(address: int, shape: tuple[int, ...], dtype: np.dtype[Any], owner: object = None) -> np.ndarray:
    """A writable array over memory, C order, without a copy; it keeps `owner` alive."""
    nbytes = prod(shape) * dtype.itemsize
    if nbytes == 0:
        return np.empty(shape, dtype)
    memory = (ctypes.c_char * nbytes).from_address(address)
    memory.owner = owner  # type: ignore[attr-defined]
    return np.ndarray(shape, dtype, buffer=memory)


def foreign_array(array: object) -> np.ndarray | None:
    """A DLPack object in CPU memory as an array over the same memory; None where that needs a copy.

    NumPy's own arrays are not taken: the engine copies them, so that changing one does not change a running frame.
    """
    if isinstance(array, np.ndarray) or not hasattr(array, "__dlpack__") or not hasattr(array, "__dlpack_device__"):
        return None
    try:
        found = np.from_dlpack(array)  # type: ignore[arg-type]
    except (BufferError, RuntimeError, TypeError, ValueError):
        return None
    return found if found.flags.c_contiguous and found.flags.writeable else None
