"""The host device: the same CUDA C++ kernels, compiled by a C++ compiler and run on all cores of the CPU."""

from .device import HostDevice as HostDevice
from .toolchain import HostCompiler as HostCompiler
