"""NVIDIA GPUs through CUDA graphs. Importing this needs no CUDA package; making a `CudaDevice` does."""

from .compiler import NvrtcCompiler as NvrtcCompiler
from .compiler import compile_with_facts as compile_with_facts
from .device import CudaDevice as CudaDevice
from .libraries import CUDA_LIBRARY as CUDA_LIBRARY
