"""Other libraries' arrays on this GPU, and this engine's memory as an array of theirs. Never a copy."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from cudagraph.errors import DeviceError

from .context import PrimaryContext
from .dlpack import CUDA, CUDA_MANAGED, is_c_contiguous, make_capsule, read_capsule

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
    """This engine's memory for anybody who reads `__cuda_array_interface__` or DLPack (CuPy, torch, Numba, JAX).

    With `stream`, readers are told to wait for it; without, as inside a capture, they need not.
    """

    def __init__(
        self,
        context: PrimaryContext,
        stream: Any,
        address: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        owner: object = None,
    ) -> None:
        self._context = context
        self._stream = stream
        self.address = address
        self.shape = shape
        self.dtype = dtype
        self.owner = owner

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self.dtype.kind == "V" and self.dtype.names is None:
            raise AttributeError(
                f"__cuda_array_interface__ has no name for {self.dtype}: use DLPack, as in torch.from_dlpack"
            )
        stream = None if self._stream is None else int(self._stream)
        data = (self.address, False)
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": data,
            "strides": None,
            "version": 3,
            "stream": stream,
        }

    def __dlpack__(self, *, stream: int | None = None, **options: Any) -> object:
        """A capsule; the consumer's stream waits for what this engine has queued so far."""
        if self._stream is not None and stream not in (None, -1):
            self._order(0 if stream == 1 else stream)
        return make_capsule(self.address, self.shape, self.dtype, self.__dlpack_device__(), self)

    def _order(self, consumer: Any) -> None:
        driver = self._context.driver
        with self._context:
            event = driver.cuEventCreate(driver.raw.CUevent_flags.CU_EVENT_DISABLE_TIMING)
            driver.cuEventRecord(event, self._stream)
            driver.cuStreamWaitEvent(consumer, event, 0)
            driver.cuEventDestroy(event)

    def __dlpack_device__(self) -> tuple[int, int]:
        return CUDA, self._context.ordinal

    def __repr__(self) -> str:
        return f"DeviceArray({self.dtype}{list(self.shape)} at {self.address:#x})"


def view(
    context: PrimaryContext, stream: Any, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], owner: object
) -> object:
    """A CuPy array over the memory where CuPy is installed and knows the dtype, else a `DeviceArray`."""
    cupy = _cupy()
    if cupy is None or (dtype.kind == "V" and dtype.names is None):
        return DeviceArray(context, stream, address, shape, dtype, owner)
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
