"""Which device a name means."""

from __future__ import annotations

from cudagraph.environment import Environment
from cudagraph.errors import DescriptionError, DeviceError

from .base import Device


def open_device(spec: str | Device, environment: Environment) -> Device:
    """The device for "auto", "cuda", "cuda:N", "host" or "recording"; a `Device` is taken as it is."""
    if not isinstance(spec, str):
        return spec
    name, _, ordinal = spec.partition(":")
    if name == "auto":
        return _first_available(environment)
    if name == "cuda" and (not ordinal or ordinal.isdecimal()):
        return _cuda(int(ordinal or 0))
    if spec == "host":
        return _host(environment)
    if spec == "recording":
        from .recording import RecordingDevice

        return RecordingDevice()
    raise DescriptionError(f"there is no device {spec!r}; choose auto, cuda, cuda:N, host or recording")


def _first_available(environment: Environment) -> Device:
    from .cuda.driver import usable

    return _cuda(0) if usable() else _host(environment)


def _cuda(ordinal: int) -> Device:
    try:
        from .cuda import CudaDevice
    except ImportError as error:
        raise DeviceError(
            f"the cuda device needs NVIDIA's Python packages ({error}); "
            "pip install 'cudagraph[cu13]' (or [cu12] for a CUDA 12 driver)"
        ) from None
    return CudaDevice(ordinal)


def _host(environment: Environment) -> Device:
    from ..libraries import HOST_LIBRARY
    from .host import HostDevice

    return HostDevice(libraries=HOST_LIBRARY, environment=environment)
