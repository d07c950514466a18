"""The layout of the parameter block: every hot scalar that kernels and libraries read through a pointer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.dtypes import pack_scalar
from cudagraph.parameter import Parameter

from .plan import Buffer, Place

_ROOT_NAME = "parameters"
_ALIGNMENT = 16  # float4 and double2 need it


class ParameterBlock:
    """Hands out places in one packed device struct. A literal scalar gets a place too: libraries read device memory."""

    def __init__(self) -> None:
        self.offsets: dict[Parameter[Any], int] = {}
        self._literals: dict[tuple[float, np.dtype[Any]], int] = {}
        self._views: dict[int, int] = {}  # offset -> buffer
        self._bytes = bytearray()
        self._root: int | None = None

    def view(self, parameter: Parameter[Any], buffers: list[Buffer], paths: Mapping[Block, str]) -> int:
        """The buffer through which a kernel reads this parameter."""
        offset = self.offsets.get(parameter)
        if offset is None:
            offset = self.offsets[parameter] = self._place(parameter.pack())
        shape = () if parameter.width == 1 else (parameter.width,)
        return self._buffer_at(offset, f"{paths[parameter.block]}.{parameter.name}", shape, parameter.dtype, buffers)

    def scalar(
        self,
        value: Parameter[Any] | float,
        dtype: np.dtype[Any],
        name: str,
        buffers: list[Buffer],
        paths: Mapping[Block, str],
    ) -> int:
        """The buffer of a library call's scalar: a parameter's place, or that of a literal."""
        if isinstance(value, Parameter):
            return self.view(value, buffers, paths)
        key = (float(value), dtype)
        if key not in self._literals:
            self._literals[key] = self._place(pack_scalar(float(value), dtype))
        return self._buffer_at(self._literals[key], name, (), dtype, buffers)

    def buffer(self, buffers: list[Buffer]) -> int | None:
        """The root buffer, now that its size is known; None when nothing needs one."""
        if self._root is not None:
            root = buffers[self._root]
            buffers[self._root] = Buffer(
                root.index, root.name, (len(self._bytes),), root.dtype, root.place, root.base, owner=_ROOT_NAME
            )
        return self._root

    def image(self) -> bytes:
        """The first contents."""
        return bytes(self._bytes)

    def _place(self, data: bytes) -> int:
        offset = len(self._bytes)
        self._bytes += data.ljust(-(-len(data) // _ALIGNMENT) * _ALIGNMENT, b"\0")
        return offset

    def _buffer_at(
        self, offset: int, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], buffers: list[Buffer]
    ) -> int:
        if self._root is None:
            self._root = len(buffers)
            buffers.append(Buffer(self._root, _ROOT_NAME, (0,), np.dtype(np.uint8), Place.PARAMETERS, self._root))
        if offset not in self._views:
            index = self._views[offset] = len(buffers)
            buffers.append(Buffer(index, name, shape, dtype, Place.PARAMETERS, self._root, offset))
        return self._views[offset]
