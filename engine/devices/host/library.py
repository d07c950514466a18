"""The runtime library and the kernel modules, loaded into this process."""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import tempfile
import threading
from ctypes import POINTER, c_char_p, c_double, c_int, c_uint32, c_uint64, c_void_p
from functools import cached_property
from pathlib import Path
from typing import Any

from cudagraph.errors import CompileError, DescriptionError, DeviceError
from cudagraph.program import Program
from cudagraph.signature import Signature, parse_signature

from ...cache import BinaryCache
from ...forks import hold_in_forks
from ..base import KernelFacts
from .abi import Error, KernelInfo, Launch
from .toolchain import Toolchain, runtime_digest

_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "cg_open": (c_void_p, (c_char_p, c_char_p, c_uint64)),
    "cg_find": (POINTER(KernelInfo), (c_void_p, c_char_p)),
    "cg_run_kernel": (c_int, (c_void_p, POINTER(Launch), POINTER(Error))),
    "cg_run_nodes": (c_uint32, (c_void_p, c_uint32, c_void_p, c_double, c_void_p)),
    "cg_now": (c_double, ()),
    "cg_allocate": (c_void_p, (c_uint64,)),
    "cg_free": (None, (c_void_p,)),
    "cg_set_workers": (None, (c_uint32,)),
    "cg_get_workers": (c_uint32, ()),
}

_loaded: dict[str, RuntimeLibrary] = {}  # one per process and compiler: it owns the threads that kernels run on
_loading = hold_in_forks(threading.Lock())

# A module is loaded once per process and stays: its static shared memory is thread-local storage of all worker threads,
# and whatever was remembered of its addresses must not meet another module that was loaded in the same place.
_modules: dict[tuple[int, bytes], int] = {}


class RuntimeLibrary:
    """The library that runs kernels (`runtime/abi.h`): its functions by name."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        self.open_module = library.cg_open
        self.find = library.cg_find
        self.run_kernel = library.cg_run_kernel
        self.run_nodes = library.cg_run_nodes
        self.now = library.cg_now
        self.allocate = library.cg_allocate
        self.free = library.cg_free
        self.set_workers = library.cg_set_workers
        self.get_workers = library.cg_get_workers


def runtime_library(toolchain: Toolchain, cache_folder: Path | None) -> RuntimeLibrary:
    """The process's runtime library, compiled if the cache folder does not hold it yet. None keeps nothing on disk."""
    with _loading:
        name = f"{toolchain.version}|{toolchain.command}"
        if name not in _loaded:
            _loaded[name] = _load_runtime(toolchain, cache_folder)
        return _loaded[name]


def _load_runtime(toolchain: Toolchain, cache_folder: Path | None) -> RuntimeLibrary:
    try:
        return RuntimeLibrary(runtime_path(toolchain, cache_folder))
    except OSError:  # another process emptied the folder, or libraries cannot be loaded from it
        return RuntimeLibrary(runtime_path(toolchain, None))


def runtime_path(toolchain: Toolchain, cache_folder: Path | None) -> Path:
    """The runtime library's file; it is compiled if need be."""
    cache = BinaryCache(cache_folder)
    key = f"host-runtime-{runtime_digest()}-{toolchain.version}-{toolchain.command}"
    found = cache.get(key)
    if found is not None:
        return found[1]
    binary, log = toolchain.run(toolchain.runtime_flags(), '#include "runtime.cpp"\n')
    if binary is None:
        raise CompileError(f"the host device's runtime library does not compile with {toolchain.name}", log=log)
    return cache.put(key, binary) or _temporary(binary)


def _temporary(binary: bytes) -> Path:
    """A file that lasts until the process ends."""
    file, name = tempfile.mkstemp(prefix="cudagraph-", suffix=".so")
    with os.fdopen(file, "wb") as stream:
        stream.write(binary)
    atexit.register(Path(name).unlink, missing_ok=True)
    return Path(name)


class HostKernel:
    """A loaded kernel. `address` is its `cg_kernel`; `sizes` are the bytes of its arguments."""

    def __init__(self, runtime: RuntimeLibrary, program: Program, binary: bytes, path: Path | None) -> None:
        self.program = program
        self.binary = binary
        found = runtime.find(_module(runtime, program, binary, path), program.entry.encode())
        if not found:
            raise DeviceError(f"{program.origin}: the compiled module has no kernel named {program.entry!r}")
        info = found.contents
        self.address = ctypes.addressof(info)
        self.sizes = tuple(info.sizes[: info.count])
        self.fibers = bool(info.fibers)

    @cached_property
    def signature(self) -> Signature | None:
        """The kernel's signature, where its source can be read."""
        try:
            return parse_signature(_text(self.program), entry=self.program.entry, origin=self.program.origin)
        except DescriptionError:
            return None

    @property
    def facts(self) -> KernelFacts:
        """What a compiler says of one kernel; on the host only the thread limit is known."""
        limit = self.signature.max_threads if self.signature else None
        return KernelFacts(max_threads=limit or 1024)

    def argument_name(self, position: int) -> str:
        """For messages: "argument 2 (gain)"."""
        arguments = self.signature.arguments if self.signature else ()
        name = f" ({arguments[position].name})" if position < len(arguments) else ""
        return f"argument {position}{name}"


def _text(program: Program) -> str:
    return program.text if isinstance(program.text, str) else program.text.decode(errors="replace")


def _module(runtime: RuntimeLibrary, program: Program, binary: bytes, path: Path | None) -> int:
    """The module of a binary in this process."""
    key = id(runtime), hashlib.sha256(binary).digest()
    with _loading:
        if key not in _modules:
            _modules[key] = _open(runtime, program, binary, path)
        return _modules[key]


def _open(runtime: RuntimeLibrary, program: Program, binary: bytes, path: Path | None) -> int:
    message = ctypes.create_string_buffer(1000)
    module = runtime.open_module(os.fsencode(path), message, len(message)) if path is not None else None
    if not module:  # no file, or another process removed it; the mapping outlives the temporary one's name
        with tempfile.NamedTemporaryFile(prefix="cudagraph-", suffix=".so") as stream:
            stream.write(binary)
            stream.flush()
            module = runtime.open_module(os.fsencode(stream.name), message, len(message))
    if not module:
        reason = message.value.decode(errors="replace")
        raise DeviceError(f"{program.origin}: the compiled kernel {program.entry} cannot be loaded: {reason}")
    return module
