"""CUDA C++ to cubin through NVRTC. Needs no driver and no GPU, only the pip packages."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from cudagraph.errors import CompileError, DeviceError
from cudagraph.program import Language, Program

from ..base import KernelFacts
from ..define import definitions, headers
from .binary import check_loadable, has_entry
from .driver import INSTALL, import_bindings
from .log import parse_facts, readable_log

PRELUDE = Path(__file__).with_name("prelude.cuh")
_PRELUDE_NAME = "cudagraph/prelude.cuh"
_DEFINE_NAME = "cudagraph/define.cuh"

# Standard headers that kernels include out of habit. The prelude (or NVRTC itself) already gives what they hold.
_EMPTY_HEADERS = (
    "assert.h cassert cfloat climits cmath cstddef cstdint cstdio cstdlib cstring cuda_runtime.h "
    "device_launch_parameters.h float.h inttypes.h limits.h math.h stddef.h stdint.h stdio.h stdlib.h string.h"
).split()


class NvrtcCompiler:
    """Compiles programs for one architecture, such as `sm_90`. Safe to call from several threads at once."""

    def __init__(self, arch: str) -> None:
        self.arch = arch

    def key(self, program: Program) -> str:
        """Cache key: digest, architecture, compiler version and prelude."""
        if program.language is not Language.CUDA:
            return f"{program.digest}-{program.language}"
        major, minor = _nvrtc_version()
        return f"{program.digest}-{self.arch}-nvrtc{major}.{minor}-{_prelude_digest()}"

    def compile(self, program: Program) -> bytes:
        """The cubin. PTX and cubins pass through once it is sure that this architecture can load them."""
        return compile_with_facts(program, self.arch)[0]


def compile_with_facts(program: Program, arch: str) -> tuple[bytes, KernelFacts]:
    """The cubin and what ptxas says of the entry: registers, shared memory, local memory (stack and spills).

    `CompileError` carries the compiler's message; its line numbers refer to the user's own files.
    """
    if program.language is not Language.CUDA:
        image = program.text if isinstance(program.text, bytes) else program.text.encode()
        check_loadable(program, image, arch)
        return image, KernelFacts()
    text = program.text if isinstance(program.text, str) else program.text.decode()
    cubin, log = _Nvrtc(arch).compile(text, program)
    return cubin, parse_facts(log, program.entry)


def include_folders() -> tuple[str, ...]:
    """Where the toolkit's headers (`cuda_fp16.h` and the like) are installed."""
    return _include_folders()


@cache
def _include_folders() -> tuple[str, ...]:
    from cuda.pathfinder import find_nvidia_header_directory

    found = (find_nvidia_header_directory(name) for name in ("cudart", "cccl"))
    return tuple(dict.fromkeys(folder for folder in found if folder))


@cache
def _nvrtc_version() -> tuple[int, int]:
    return _Nvrtc("").version()


@cache
def _prelude_digest() -> str:
    import hashlib

    return hashlib.sha256(PRELUDE.read_bytes()).hexdigest()[:8]


class _Nvrtc:
    """One compilation through `cuda.bindings.nvrtc`."""

    def __init__(self, arch: str) -> None:
        self._arch = arch
        try:
            self._raw = import_bindings("nvrtc")
        except DeviceError as error:
            raise CompileError(f"CUDA C++ cannot be compiled without NVRTC: {error}") from error

    def version(self) -> tuple[int, int]:
        return self._call("nvrtcVersion")

    def compile(self, text: str, program: Program) -> tuple[bytes, str]:
        names = [_PRELUDE_NAME, _DEFINE_NAME, *_EMPTY_HEADERS]
        sources = [
            PRELUDE.read_text(),
            headers(program.define) + definitions(program.define, text),
            *("\n" for _ in _EMPTY_HEADERS),
        ]
        handle = self._call(
            "nvrtcCreateProgram",
            text.encode(),
            program.origin.encode() or b"kernel.cu",
            len(names),
            [source.encode() for source in sources],
            [name.encode() for name in names],
        )
        try:
            return self._run(handle, program)
        finally:
            self._raw.nvrtcDestroyProgram(handle)

    def _run(self, handle: Any, program: Program) -> tuple[bytes, str]:
        options = [option.encode() for option in self._options(program)]
        status = self._raw.nvrtcCompileProgram(handle, len(options), options)[0]
        log = (
            self._text(handle, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog").decode(errors="replace").rstrip("\0 \n")
        )
        if status:
            raise self._failure(status, program, log)
        cubin = self._text(handle, "nvrtcGetCUBINSize", "nvrtcGetCUBIN")
        if not has_entry(cubin, program.entry):
            raise CompileError(
                f"{program.origin}: the compiled program has no kernel named {program.entry!r}; it must be "
                f'`extern "C" __global__ void {program.entry}(...)`',
                origin=program.origin,
            )
        return cubin, log

    def _options(self, program: Program) -> list[str]:
        return [
            f"--gpu-architecture={self._arch}",
            "--std=c++17",
            f"--pre-include={_PRELUDE_NAME}",
            f"--pre-include={_DEFINE_NAME}",
            "--generate-line-info",  # profilers and compute-sanitizer then name lines; it changes no code
            "-default-device",
            "--ptxas-options=-v",
            *(f"--include-path={folder}" for folder in include_folders()),
        ]

    def _failure(self, status: Any, program: Program, log: str) -> CompileError:
        message = f"{program.origin} does not compile for {self._arch}"
        readable = readable_log(log, program.origin)
        if "--gpu-architecture" in log:
            known = ", ".join(f"sm_{number}" for number in self._call("nvrtcGetSupportedArchs"))
            message = f"{program.origin}: this NVRTC cannot compile for {self._arch}; it knows {known}"
        elif not readable:
            readable = log or self._status_text(status)
        return CompileError(f"{message}:" if readable else message, origin=program.origin, log=readable)

    def _text(self, handle: Any, size_call: str, call: str) -> bytes:
        buffer = bytes(self._call(size_call, handle))
        self._call(call, handle, buffer)  # the binding writes into the bytes object
        return buffer

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            answer = getattr(self._raw, name)(*arguments)
        except RuntimeError as error:  # the pathfinder's "library not found"
            raise CompileError(
                f"NVRTC, the CUDA C++ compiler library, is not installed ({_first_line(error)}); {INSTALL}"
            ) from error
        if answer[0]:
            raise CompileError(f"{name} failed: {self._status_text(answer[0])}")
        return answer[1] if len(answer) == 2 else answer[1:]

    def _status_text(self, status: Any) -> str:
        answer = self._raw.nvrtcGetErrorString(status)
        return answer[1].decode() if len(answer) > 1 and answer[1] else str(status)


def _first_line(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(error).split("\n")[0]).strip()
