"""Device memory: allocation, transfers in stream order, freeing once the frames in flight are past it."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.errors import DeviceError

from .deferred import Deferred
from .driver import Driver, DriverError
from .staging import LARGE, SMALL, StagingRing


class Memory:
    """What one device has allocated. Plain `cuMemAlloc`: graph nodes may change between such addresses freely, which
    they may not between pool allocations and others, and `free` costs nothing that a rebuild would notice.
    """

    def __init__(self, driver: Driver, stream: Any, deferred: Deferred) -> None:
        self._driver = driver
        self._stream = stream
        self._deferred = deferred
        self._rings: dict[tuple[int, int], StagingRing] = {}
        self.live: dict[int, int] = {}  # address -> bytes

    def allocate(self, nbytes: int) -> int:
        """Address of uninitialised memory, aligned to 256 bytes."""
        self._deferred.collect()
        try:
            address = self._allocate(nbytes)
        except DriverError as error:
            if error.code != "CUDA_ERROR_OUT_OF_MEMORY":
                raise
            self._deferred.drain()  # memory that waits for a frame counts as used until now
            address = self._retry(nbytes, error)
        self.live[address] = nbytes
        return address

    def _allocate(self, nbytes: int) -> int:
        return int(self._driver.cuMemAlloc(max(nbytes, 1)))

    def _retry(self, nbytes: int, error: DriverError) -> int:
        try:
            return self._allocate(nbytes)
        except DriverError:
            free, total = self._driver.cuMemGetInfo()
            raise DriverError(
                f"{_megabytes(nbytes)} of GPU memory cannot be allocated: {_megabytes(free)} of {_megabytes(total)} "
                f"are free, and this engine holds {_megabytes(sum(self.live.values()))}. {error}",
                code=error.code,
            ) from None

    def free(self, address: int) -> None:
        """Give memory back once everything started so far is done with it."""
        if self.live.pop(address, None) is None:
            raise DeviceError(
                f"{address:#x} is not the start of memory that this device allocated, or it was freed before"
            )
        self._deferred.after_frames(lambda: self._driver.cuMemFree(address))

    def upload(self, address: int, data: np.ndarray) -> None:
        """Copy a C-contiguous array to the device in stream order; it may be reused at once."""
        if data.nbytes == 0:
            return
        ring = self._ring(SMALL if data.nbytes <= SMALL[0] * SMALL[1] // 2 else LARGE)
        ring.send(address, _bytes_of(data, "upload"))

    def _ring(self, shape: tuple[int, int]) -> StagingRing:
        if shape not in self._rings:
            self._rings[shape] = StagingRing(self._driver, self._stream, *shape)
        return self._rings[shape]

    def download(self, address: int, out: np.ndarray) -> None:
        """Copy from the device into a C-contiguous array and wait for it."""
        if out.nbytes == 0:
            return
        target = _bytes_of(out, "download")
        if target.readonly:
            raise DeviceError("download: the array cannot be written to")
        self._driver.cuMemcpyDtoHAsync(out.__array_interface__["data"][0], address, out.nbytes, self._stream)
        self._driver.cuStreamSynchronize(self._stream)

    def fill(self, address: int, nbytes: int, value: int) -> None:
        """Set every byte in stream order."""
        if nbytes:
            self._driver.cuMemsetD8Async(address, value & 0xFF, nbytes, self._stream)

    def close(self) -> None:
        """Free everything; the stream must be idle."""
        for address in self.live:
            self._driver.raw.cuMemFree(address)
        self.live.clear()
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()


def _bytes_of(array: np.ndarray, what: str) -> memoryview:
    if not array.flags.c_contiguous:
        raise DeviceError(f"{what}: the array has to be C-contiguous; pass np.ascontiguousarray(array)")
    return memoryview(array.reshape(-1).view(np.uint8))


def _megabytes(nbytes: int) -> str:
    return f"{nbytes / 2**20:.1f} MiB"
