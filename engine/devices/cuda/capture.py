"""Recording stream-ordered code as a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cudagraph.errors import CudaGraphError, DeviceError

from .driver import Driver


class CapturedStream(int):
    """The stream that is captured: an integer handle, and for CuPy, torch and Warp an object with `__cuda_stream__`."""

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, int(self)


def capture(driver: Driver, stream: Any, record: Callable[[CapturedStream], None], subject: str) -> Any:
    """The graph of what `record(stream)` queued. `DeviceError` names `subject`; nothing is left capturing.

    Relaxed mode: allocations and lazily loaded kernels do not break the capture of a library that needs them.
    """
    raw = driver.raw
    driver.cuStreamBeginCapture(stream, raw.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED)
    try:
        record(CapturedStream(int(stream)))
    except BaseException as error:
        _abandon(driver, stream)
        if isinstance(error, CudaGraphError) or not isinstance(error, Exception):
            raise
        raise DeviceError(f"{subject}: the captured function failed with {type(error).__name__}: {error}") from error
    status, graph = raw.cuStreamEndCapture(stream)
    if status:
        raise driver.error(status, "cuStreamEndCapture", subject=subject)
    if driver.cuGraphGetNodes(graph, 0)[1] == 0:
        driver.cuGraphDestroy(graph)
        raise DeviceError(
            f"{subject}: the captured function queued nothing on the stream it was given; pass that stream to every "
            "launch (CuPy: `with cupy.cuda.ExternalStream(stream):`, torch: `with torch.cuda.stream(torch.cuda."
            "ExternalStream(stream)):`)"
        )
    return graph


def _abandon(driver: Driver, stream: Any) -> None:
    status, graph = driver.raw.cuStreamEndCapture(stream)
    if not status and int(graph):
        driver.raw.cuGraphDestroy(graph)
