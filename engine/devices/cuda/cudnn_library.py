"""cuDNN's backend interface, called through ctypes: a dozen C functions with a stable binary interface."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

from cudagraph.errors import DeviceError

from .cudnn_names import ATTRIBUTES, DESCRIPTORS, Type

INSTALL = "type `pip install 'cudagraph[cudnn13]'` (driver 580 or newer) or `pip install 'cudagraph[cudnn12]'`"
_OLDEST = 90000  # the first of the interface that is used here
_MESSAGE_BYTES = 4096
_C_TYPES: dict[Type, Any] = {
    Type.HANDLE: ctypes.c_void_p,
    Type.BOOLEAN: ctypes.c_bool,
    Type.INT64: ctypes.c_int64,
    Type.FLOAT: ctypes.c_float,
    Type.DOUBLE: ctypes.c_double,
    Type.VOID_PTR: ctypes.c_void_p,
    Type.BACKEND_DESCRIPTOR: ctypes.c_void_p,
    Type.CHAR: ctypes.c_char,
}  # all others are enumerations, which are ints


class Status(IntEnum):
    """The statuses that are told apart; a status's thousands say which family it belongs to."""

    SUCCESS = 0
    NOT_SUPPORTED = 3000


class CudnnError(DeviceError):
    """A call into cuDNN failed. `status` is its number."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_unsupported(self) -> bool:
        """Whether the library understood, and cannot do it."""
        return self.status // 1000 == Status.NOT_SUPPORTED // 1000


class CudnnLibrary:
    """The loaded library."""

    def __init__(self, raw: ctypes.CDLL) -> None:
        self._raw = raw
        pointer, number, long = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
        signatures: dict[str, tuple[Any, ...]] = {
            "cudnnCreate": (pointer,),
            "cudnnDestroy": (pointer,),
            "cudnnSetStream": (pointer, pointer),
            "cudnnBackendCreateDescriptor": (number, pointer),
            "cudnnBackendDestroyDescriptor": (pointer,),
            "cudnnBackendSetAttribute": (pointer, number, number, long, pointer),
            "cudnnBackendGetAttribute": (pointer, number, number, long, pointer, pointer),
            "cudnnBackendFinalize": (pointer,),
            "cudnnBackendExecute": (pointer, pointer, pointer),
        }
        for name, arguments in signatures.items():
            getattr(raw, name).argtypes = arguments
        raw.cudnnGetVersion.restype = ctypes.c_size_t
        raw.cudnnGetErrorString.restype = ctypes.c_char_p
        raw.cudnnGetLastErrorString.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
        raw.cudnnGetLastErrorString.restype = None
        self.version: int = raw.cudnnGetVersion()

    @property
    def version_text(self) -> str:
        """Such as `9.28.1`."""
        return f"{self.version // 10000}.{self.version // 100 % 100}.{self.version % 100}"

    def call(self, name: str, *arguments: Any, subject: str = "") -> None:
        """Call a function; what it complains about becomes a `CudnnError`."""
        status = getattr(self._raw, name)(*arguments)
        if status != Status.SUCCESS:
            text = self._raw.cudnnGetErrorString(status).decode()
            buffer = ctypes.create_string_buffer(_MESSAGE_BYTES)
            self._raw.cudnnGetLastErrorString(buffer, _MESSAGE_BYTES)
            detail = buffer.value.decode(errors="replace").strip()
            about = f" of {subject}" if subject else ""
            raise CudnnError(f"{name}{about} failed: {text}{f' ({detail})' if detail else ''}", status)


class Descriptor:
    """One of the library's descriptors: attributes by their names without `CUDNN_ATTR_`, then `finalize`."""

    def __init__(self, library: CudnnLibrary, kind: str) -> None:
        self._library = library
        self.kind = kind
        self._pointer = ctypes.c_void_p()
        library.call("cudnnBackendCreateDescriptor", DESCRIPTORS[kind], ctypes.byref(self._pointer), subject=kind)

    @property
    def pointer(self) -> int:
        """The library's address of it."""
        return self._pointer.value or 0

    def set(self, name: str, *values: Any, kind: Type | None = None) -> Descriptor:
        """Set an attribute to one or several values; descriptors are passed as they are."""
        number, usual = ATTRIBUTES[name]
        kind = usual if kind is None else kind
        plain = [value.pointer if isinstance(value, Descriptor) else value for value in values]
        data = (_C_TYPES.get(kind, ctypes.c_int) * len(plain))(*plain)
        subject = f"CUDNN_ATTR_{name}"
        self._library.call(
            "cudnnBackendSetAttribute", self._pointer, number, kind, len(plain), ctypes.byref(data), subject=subject
        )
        return self

    def finalize(self) -> Descriptor:
        """Check what was set; afterwards it can be used and no longer changed."""
        self._library.call("cudnnBackendFinalize", self._pointer, subject=self.kind)
        return self

    def get(self, name: str, room: int) -> list[Any]:
        """Up to `room` values of an attribute of a finalized descriptor."""
        data = (_C_TYPES.get(ATTRIBUTES[name][1], ctypes.c_int) * room)()
        found = self._get(name, room, data)
        return list(data)[: min(found, room)]

    def count(self, name: str) -> int:
        """How many values an attribute has."""
        return self._get(name, 0, None)

    def fill(self, name: str, into: Sequence[Descriptor]) -> int:
        """Have the library copy descriptors into ones that were made for that, and say how many there are."""
        data = (ctypes.c_void_p * len(into))(*(descriptor.pointer for descriptor in into))
        return min(self._get(name, len(into), data), len(into))

    def _get(self, name: str, room: int, data: Any) -> int:
        number, kind = ATTRIBUTES[name]
        found = ctypes.c_int64()
        where = None if data is None else ctypes.byref(data)
        subject = f"CUDNN_ATTR_{name}"
        self._library.call(
            "cudnnBackendGetAttribute", self._pointer, number, kind, room, ctypes.byref(found), where, subject=subject
        )
        return found.value

    def close(self) -> None:
        """Destroy it."""
        if self._pointer:
            self._library.call("cudnnBackendDestroyDescriptor", self._pointer, subject=self.kind)
            self._pointer = ctypes.c_void_p()


def library_name() -> str:
    """File name of cuDNN 9's library on this system."""
    return "cudnn64_9.dll" if sys.platform == "win32" else "libcudnn.so.9"


def find() -> CudnnLibrary:
    """cuDNN: the one that the process has loaded, else a wheel's, else the system's. `DeviceError`: what to install."""
    for name, mode in places():
        try:
            library = CudnnLibrary(ctypes.CDLL(name, mode))
        except (OSError, AttributeError):
            continue
        if library.version < _OLDEST:
            raise DeviceError(f"cuDNN {library.version_text} is too old, 9 is wanted: {INSTALL}")
        return library
    raise DeviceError(f"cuDNN is not installed ({library_name()} was not found): {INSTALL}")


def places() -> list[tuple[str, int]]:
    """Names to load it by, with the mode: two versions in one process would take each other's parts."""
    folders = (Path(entry) / "nvidia" / "cudnn" / part for entry in sys.path if entry for part in ("lib", "bin"))
    wheels = [folder / library_name() for folder in folders]
    usual, loaded = ctypes.DEFAULT_MODE, getattr(os, "RTLD_NOLOAD", None)
    found = [(str(path), usual) for path in wheels if path.exists()] + [(library_name(), usual)]
    return found if loaded is None else [(library_name(), usual | loaded), *found]
