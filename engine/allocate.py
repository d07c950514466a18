"""Device memory for something that has a name."""

from __future__ import annotations

from cudagraph.errors import DeviceError

from .devices.base import Device
from .plan import Plan

_MOST_BYTES = 1 << 62  # more is no number that a device can be asked for


def allocate(device: Device, nbytes: int, subject: str, block: object = None) -> int:
    """Address of device memory. Where there is none left, `DeviceError` says what wanted how much, on that block."""
    try:
        return device.allocate(max(nbytes, 1))
    except DeviceError as problem:
        raise _refusal(nbytes, subject, block, str(problem)) from problem


def check_sizes(plan: Plan) -> None:
    """`DeviceError` where no memory can be planned at all: the numbers are too large."""
    if sum(buffer.nbytes for buffer in plan.roots()) > _MOST_BYTES:
        largest = max(plan.roots(), key=lambda buffer: buffer.nbytes)
        raise _refusal(largest.nbytes, largest.name, getattr(largest.owner, "block", None), "no device has as much")


def _refusal(nbytes: int, subject: str, block: object, reason: str) -> DeviceError:
    error = DeviceError(f"there is no memory for {subject}, {nbytes:,} bytes: {reason}")
    error.block = block
    return error
