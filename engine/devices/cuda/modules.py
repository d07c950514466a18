"""Loading compiled programs: once per process, unloaded when the last kernel object that uses them is gone."""

from __future__ import annotations

import hashlib
import weakref
from pathlib import Path
from typing import Any

from cudagraph.errors import DeviceError
from cudagraph.program import Language, Program

from ..base import KernelFacts
from .binary import cubin_architecture
from .context import PrimaryContext
from .driver import Driver, DriverError

_STATIC_SHARED_LIMIT = 48 * 1024  # dynamic shared memory beyond this has to be asked for per function
_LOG_BYTES = 4096


class CudaKernel:
    """A loaded kernel. `function` is the driver's handle of it."""

    def __init__(
        self, program: Program, context: PrimaryContext, module: Any, function: Any, facts: KernelFacts
    ) -> None:
        self.program = program
        self.facts = facts
        self.function = function
        self._context = context
        self.module = module
        self._shared = 0

    def allow(self, threads: int, shared: int, subject: str) -> None:
        """Check a launch against the kernel's limits and raise its dynamic shared memory limit where it must."""
        if threads > self.facts.max_threads:
            raise DeviceError(
                f"{subject}: {threads} threads per block are too many for kernel {self.program.entry}, which uses "
                f"{self.facts.registers} registers per thread: launch at most {self.facts.max_threads}, or give it "
                f"__launch_bounds__({threads})"
            )
        total = shared + self.facts.shared_bytes
        if total > _STATIC_SHARED_LIMIT and shared > self._shared:
            most = self._context.attribute("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN")
            if total > most:
                raise DeviceError(
                    f"{subject}: kernel {self.program.entry} wants {total} bytes of shared memory per block, this GPU "
                    f"has {most}: use smaller tiles"
                )
            driver = self._context.driver
            key = driver.raw.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            driver.cuFuncSetAttribute(self.function, key, shared)
            self._shared = shared


def load_kernel(context: PrimaryContext, program: Program, binary: bytes, path: Path | None) -> CudaKernel:
    """The kernel of a binary; the same program and binary share one loaded module, whichever device object asks.

    The module of a kernel that nobody uses any more lands in `context.retired`, to be unloaded when no frame runs it.
    """
    key = (program.digest, hashlib.sha256(binary).digest())
    known = context.kernels.get(key)
    if known is not None:
        return known
    driver = context.driver
    module = _load_module(driver, program, binary, context, path)
    try:
        function = driver.cuModuleGetFunction(module, program.entry.encode())
    except DriverError as error:
        driver.raw.cuModuleUnload(module)
        raise DeviceError(
            f"{program.origin}: the binary has no kernel named {program.entry!r} ({error.code})"
        ) from error
    kernel = CudaKernel(program, context, module, function, _facts(driver, function))
    weakref.finalize(kernel, context.retired.append, module).atexit = False
    context.kernels[key] = kernel
    return kernel


def _load_module(driver: Driver, program: Program, binary: bytes, context: PrimaryContext, path: Path | None) -> Any:
    raw = driver.raw
    if program.language is not Language.PTX:
        status, module = raw.cuModuleLoadData(binary)
        log = b""
    else:
        log = bytes(_LOG_BYTES)
        keys = [raw.CUjit_option.CU_JIT_ERROR_LOG_BUFFER, raw.CUjit_option.CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES]
        status, module = raw.cuModuleLoadDataEx(binary, len(keys), keys, [log, _LOG_BYTES])
    if status:
        raise _load_error(driver, status, program, binary, context, path, log.split(b"\0")[0].decode(errors="replace"))
    return module


def _load_error(
    driver: Driver, status: Any, program: Program, binary: bytes, context: PrimaryContext, path: Path | None, log: str
) -> DriverError:
    error = driver.error(status, "cuModuleLoadData", subject=f"{program.origin} (kernel {program.entry})")
    built_for = cubin_architecture(binary)
    own = context.attribute("COMPUTE_CAPABILITY_MAJOR") * 10 + context.attribute("COMPUTE_CAPABILITY_MINOR")
    details = [str(error)]
    if built_for is not None and built_for != own:
        details.append(f"The binary is for sm_{built_for}, this GPU is sm_{own}")
    if path is not None:
        details.append(f"It came from {path}; delete that file to compile it anew")
    if log:
        details.append(log)
    return DriverError(". ".join(details), code=error.code)


def _facts(driver: Driver, function: Any) -> KernelFacts:
    keys = driver.raw.CUfunction_attribute

    def read(name: str) -> int:
        return int(driver.cuFuncGetAttribute(getattr(keys, f"CU_FUNC_ATTRIBUTE_{name}"), function))

    return KernelFacts(
        registers=read("NUM_REGS"),
        shared_bytes=read("SHARED_SIZE_BYTES"),
        local_bytes=read("LOCAL_SIZE_BYTES"),
        max_threads=read("MAX_THREADS_PER_BLOCK"),
    )
