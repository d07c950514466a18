"""Other libraries' arrays on this GPU, and this engine's memory as an array of theirs. Never a copy."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from cudagraph.errors import DeviceError

from .context import PrimaryContext
from .dlpack import CUDA, CUDA_MANAGED, is_c_contiguous, read_capsule

Borrowed = tuple[int, tuple[int, ...], np.dtype[Any]]


def borrow(context: PrimaryContext, stream: Any, array: object) -> Borrowed | None:
    """Address, shape and dtype of an array that lies densely on this GPU; None for anything else.

    What the other library has queued for the array so far is waited for by `stream`.
    """
    if hasattr(array, "__dlpack_device__"):
        return _from_dlpack(context, stream, array)
    if hasattr(array, "__cuda_array_interface__"):
        return _from_interface(context, array)
    return None


def _from_dlpack(context: PrimaryContext, stream: Any, array: Any) -> Borrowed | None:
    kind, ordinal = array.__dlpack_device__()
    if int(kind) not in (CUDA, CUDA_MANAGED) or int(ordinal) != context.ordinal:
        return None
    view = read_capsule(array.__dlpack__(stream=int(stream)))
    if view is None or not is_c_contiguous(view.shape, view.strides):
        return None
    return view.address, view.shape, view.dtype


def _from_interface(context: PrimaryContext, array: Any) -> Borrowed | None:
    interface = array.__cuda_array_interface__
    shape, dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
    strides = interface.get("strides")
    counts = None if strides is None else tuple(stride // dtype.itemsize for stride in strides)
    address = int(interface["data"][0])
    if not is_c_contiguous(shape, counts) or (address and _ordinal_of(context, address) != context.ordinal):
        return None
    producer = interface.get("stream")
    if producer is not None:
        context.driver.cuStreamSynchronize(producer)
    return address, shape, dtype


def _ordinal_of(context: PrimaryContext, address: int) -> int | None:
    raw = context.driver.raw
    status, ordinal = raw.cuPointerGetAttribute(raw.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address)
    return None if status else int(ordinal)


class DeviceArray:
    """This engine's memory for anybody who reads `__cuda_array_interface__` or DLPack (CuPy, torch, Numba, JAX)."""

    def __init__(self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], owner: object) -> None:
        self.address = address
        self.shape = shape
        self.dtype = dtype
        self.owner = owner

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self.dtype.kind == "V" and self.dtype.names is None:
            raise AttributeError(
                f"{self.dtype} has no name in __cuda_array_interface__: use DLPack, as torch.from_dlpack does"
            )
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address, False),
            "strides": None,
            "version": 3,
        }

    def _strided(self) -> Any:
        core = importlib.import_module("cuda.core")
        utilities = importlib.import_module("cuda.core.utils")
        buffer = core.Buffer.from_handle(self.address, self.nbytes, owner=self)
        return utilities.StridedMemoryView.from_buffer(buffer, self.shape, dtype=self.dtype)

    def __dlpack__(self, **options: Any) -> Any:
        return self._strided().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._strided().__dlpack_device__()

    def __repr__(self) -> str:
        return f"DeviceArray({self.dtype}{list(self.shape)} at {self.address:#x})"


def view(context: PrimaryContext, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], owner: object) -> object:
    """A CuPy array over the memory where CuPy is installed and knows the dtype, else a `DeviceArray`."""
    cupy = _cupy()
    if cupy is None or (dtype.kind == "V" and dtype.names is None):
        return DeviceArray(address, shape, dtype, owner)
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    try:
        memory = cupy.cuda.UnownedMemory(address, nbytes, owner, context.ordinal)
        return cupy.ndarray(shape, dtype, cupy.cuda.MemoryPointer(memory, 0))
    except Exception as error:
        raise DeviceError(f"CuPy cannot make an array over {dtype}{list(shape)}: {error}") from error


def _cupy() -> Any:
    try:
        return importlib.import_module("cupy")
    except ImportError:
        return None
