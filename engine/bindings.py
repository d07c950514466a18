"""Arrays from outside: what the user bound to which port, and how it gets to the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cudagraph.dtypes import parse_dtype, show
from cudagraph.errors import DescriptionError
from cudagraph.port import Port
from cudagraph.shape import show_shape

from .allocate import allocate
from .devices.base import Device
from .resolve import TensorType


@dataclass(slots=True)
class Binding:
    """One bound array, in memory of our own or in place.

    `array` is a snapshot to upload (or, with `stream`, the user's own); `source` keeps foreign memory alive.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    address: int
    array: np.ndarray | None
    source: object
    stream: bool
    owned: bool  # the device memory is ours


class Bindings:
    """All bound arrays of an engine. NumPy arrays are copied; foreign ones the device can address are used in place."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._bindings: dict[Port, Binding] = {}
        self.streams: dict[Port, Binding] = {}
        self._retired: list[int] = []  # memory that the running graph may still use

    def __contains__(self, port: object) -> bool:
        return port in self._bindings

    def bind(self, port: Port, array: object, stream: bool) -> bool:
        """Take an array. True when shape and dtype are those of the array bound before: no new plan is needed then."""
        old = self._bindings.get(port)
        new = self._borrowed(array) or self._copied(port, array, stream)
        same = old is not None and (old.shape, old.dtype) == (new.shape, new.dtype)
        if new.array is not None:
            reuse = same and old is not None and old.owned
            if reuse and old is not None:
                new.address, old = old.address, None
            else:
                subject = f"the array bound to {port.path}"
                new.address = allocate(self._device, new.array.nbytes, subject, port.block)
        self._bindings[port] = new
        self._release(old)
        self.streams.pop(port, None)
        if new.stream:
            self.streams[port] = new
        return same

    def unbind(self, port: Port) -> None:
        """Forget the array."""
        self._release(self._bindings.pop(port, None))
        self.streams.pop(port, None)

    def types(self) -> dict[Port, TensorType]:
        """Shape and dtype of every bound array."""
        return {port: (binding.shape, binding.dtype) for port, binding in self._bindings.items()}

    def address(self, port: Port) -> int:
        """Where the bound array is on the device."""
        return self._bindings[port].address

    def upload(self, port: Port) -> None:
        """Bring the contents of a copied array to the device."""
        binding = self._bindings.get(port)
        if binding is not None and binding.array is not None and binding.array.nbytes:
            _check_unchanged(port, binding)
            self._device.upload(binding.address, np.ascontiguousarray(binding.array))
            if not binding.stream:
                binding.array = None  # the device has it; the snapshot is not needed any more

    def free_retired(self) -> None:
        """Free memory of former bindings; called when the running graph no longer refers to it."""
        while self._retired:
            self._device.free(self._retired.pop())

    def ports(self) -> Iterator[Port]:
        """Every bound port."""
        return iter(self._bindings)

    def close(self) -> None:
        """Free the device copies."""
        for binding in self._bindings.values():
            self._release(binding)
        self._bindings.clear()
        self.streams.clear()
        self.free_retired()

    def _release(self, binding: Binding | None) -> None:
        if binding is not None and binding.owned:
            self._retired.append(binding.address)

    def _borrowed(self, array: object) -> Binding | None:
        borrowed = self._device.borrow(array)
        if borrowed is None:
            return None
        address, shape, dtype = borrowed
        return Binding(shape, dtype, address, None, array, stream=False, owned=False)

    def _copied(self, port: Port, array: object, stream: bool) -> Binding:
        values = _as_numpy(port, array)
        dtype = port.dtype
        if not isinstance(dtype, str) and dtype != values.dtype:
            is_array = isinstance(array, np.ndarray)
            convert = f"convert it: {'array.astype(' if is_array else 'np.asarray(values, '}{show(dtype)!r})"
            cure = "it has to have the port's own dtype" if dtype.names else convert
            raise DescriptionError(
                f"{port.path} is {show(dtype)}; the array bound to it is {show(values.dtype)}; {cure}"
            )
        parse_dtype(values.dtype)
        kept = values if stream else np.array(values, order="C", copy=True)
        return Binding(values.shape, values.dtype, 0, kept, array if stream else None, stream, owned=True)


def _check_unchanged(port: Port, binding: Binding) -> None:
    """An array that is streamed stays the user's own, who may give it another shape or dtype in place."""
    array = binding.array
    if array is not None and (array.shape, array.dtype) != (binding.shape, binding.dtype):
        was = f"{show(binding.dtype)}{show_shape(binding.shape)}"
        error = DescriptionError(
            f"the array that is streamed to {port.path} was {was} when it was bound and is "
            f"{show(array.dtype)}{show_shape(array.shape)} now; bind it again: "
            f"engine.bind({port.path}, array, stream=True)"
        )
        error.block = port.block
        raise error


def _as_numpy(port: Port, array: object) -> np.ndarray:
    if isinstance(array, np.ndarray):
        return array
    try:
        return np.from_dlpack(array) if hasattr(array, "__dlpack__") else np.asarray(array)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise DescriptionError(
            f"{port.path} takes an array (NumPy, DLPack or __cuda_array_interface__), "
            f"not {type(array).__name__}: {error}"
        ) from None
