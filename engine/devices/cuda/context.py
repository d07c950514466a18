"""The primary context of one GPU, shared by everything in the process that runs on it."""

from __future__ import annotations

import os
import threading
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from cudagraph.errors import DeviceError

from ...forks import hold_in_forks
from .driver import HOST, Driver, is_loaded, load

if TYPE_CHECKING:
    from .modules import CudaKernel


class PrimaryContext:
    """A GPU's primary context: `with context:` makes it current. Retained once, released with the last user.

    PyTorch, CuPy and the CUDA runtime use the same one, so arrays pass between them without a copy.
    """

    def __init__(self, driver: Driver, ordinal: int) -> None:
        self.driver = driver
        self.ordinal = ordinal
        self.device = driver.cuDeviceGet(ordinal)
        self.handle = driver.cuDevicePrimaryCtxRetain(self.device)
        self.kernels: WeakValueDictionary[Any, CudaKernel] = (
            WeakValueDictionary()
        )  # programs are loaded once per process
        self.retired: deque[Any] = deque()  # modules whose kernels are gone
        self.users = 1
        self.forked = False  # this is the child of the process that CUDA was started in
        # With a single GPU nobody minds if its context stays current, which saves two calls in every frame.
        self._stays = driver.cuDeviceGetCount() == 1
        self._thread = threading.local()

    @property
    def bound(self) -> bool:
        """Whether this thread certainly has the context current already."""
        return getattr(self._thread, "bound", False)

    def __enter__(self) -> PrimaryContext:
        if self.forked:
            raise _forked_error()
        # Unchecked: on a dead context the call that follows says what happened, and closing has to go on.
        if self._stays:
            self.driver.raw.cuCtxSetCurrent(self.handle)
            self._thread.bound = True
        else:
            self.driver.raw.cuCtxPushCurrent(self.handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._stays:
            self.driver.raw.cuCtxPopCurrent()

    def mark_forked(self) -> None:
        """No thread of this process may use it any more."""
        self.forked = True
        self._thread = threading.local()

    def close(self) -> None:
        """Unload what is still loaded and let the context go."""
        with self:
            for module in (*self.retired, *(kernel.module for kernel in list(self.kernels.values()))):
                self.driver.raw.cuModuleUnload(module)
        self.retired.clear()
        self.driver.raw.cuDevicePrimaryCtxRelease(self.device)

    def attribute(self, name: str) -> int:
        """A device attribute, such as `COMPUTE_CAPABILITY_MAJOR`."""
        key = getattr(self.driver.raw.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
        return self.driver.cuDeviceGetAttribute(key, self.device)


# One per GPU and process on purpose: modules, and so compiled programs, belong to the context.
_contexts: dict[int, PrimaryContext] = {}
_lock = hold_in_forks(threading.Lock())
_forked = threading.Event()  # set in the child of a process that had started CUDA


def _forked_error() -> DeviceError:
    return DeviceError(
        "this process was forked from one that had started CUDA, which does not work in a child. Start it anew "
        "(multiprocessing.get_context('spawn')), or fork before the first engine is made; the parent is not affected"
    )


def _after_fork_in_child() -> None:
    if is_loaded():
        _forked.set()
    for context in _contexts.values():
        context.mark_forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def acquire(ordinal: int) -> PrimaryContext:
    """The context of GPU `ordinal`, to be given back with `release`. `DeviceError` says which ordinals exist."""
    if _forked.is_set():
        raise _forked_error()
    driver = load()
    count = driver.cuDeviceGetCount()
    if count == 0:
        raise DeviceError(
            f"The NVIDIA driver is installed but sees no GPU: check `nvidia-smi` and CUDA_VISIBLE_DEVICES, {HOST}"
        )
    if not 0 <= ordinal < count:
        raise DeviceError(f"There is no GPU {ordinal}: this machine has {count}, numbered 0 to {count - 1}")
    with _lock:
        context = _contexts.get(ordinal)
        if context is not None:
            context.users += 1
        else:
            context = _contexts[ordinal] = PrimaryContext(driver, ordinal)
        return context


def release(context: PrimaryContext) -> None:
    """Give the context back; the last user destroys it unless another library of the process still uses it."""
    with _lock:
        context.users -= 1
        if context.users == 0:
            del _contexts[context.ordinal]
            context.close()
