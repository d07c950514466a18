"""CUDAGRAPH_SANITIZE=1: every access is held to the buffers of the kernel's arguments."""

import numpy as np
import pytest

from cudagraph.engine.devices.host.lines import source_line
from cudagraph.errors import DeviceError

SOURCE = """
__constant__ float weights[4] = {1, 2, 3, 4};
extern "C" __global__ void k(int shift, const float* x, float* y) {
  __shared__ float s[64];
  extern __shared__ float d[];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  s[threadIdx.x] = weights[i & 3];
  d[threadIdx.x] = x[0];
  __syncthreads();
  y[i] = s[threadIdx.x] +
         x[i + shift];
}"""
LOOP = """
extern "C" __global__ void k(int n, double* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i <= n)
    y[i] = i;
}"""


def _arrays(n=128):
    return np.ones(n, np.float32), np.zeros(n, np.float32)


@pytest.mark.parametrize("threads", [1, 2])
def test_correct_kernels_pass(lab, workers, threads):
    workers(threads)
    x, y = _arrays()
    lab.run(SOURCE, 2, 64, np.int32(0), x, y, shared=256, sanitize=True)
    assert (y == 2 + np.arange(128) % 4).all()
    many = np.zeros(100_000)
    lab.run(LOOP, 1000, 100, np.int32(len(many) - 1), many, sanitize=True)
    assert (many == np.arange(len(many))).all()


def test_reading_past_the_end(lab, compiler):
    x, y = _arrays()
    with pytest.raises(DeviceError) as caught:
        lab.run(SOURCE, 2, 64, np.int32(1), x, y, shared=256, sanitize=True, cxx=compiler)
    message = str(caught.value)
    assert "lab/k: kernel k at kernel.cu:11: out of bounds: reads 4 bytes at byte 512 of argument 1, x" in message
    assert "buffer0" in message and "which has 512 bytes" in message
    assert message.endswith("in thread (63, 0, 0) of block (1, 0, 0)")
    assert caught.value.node == 0


def test_reading_before_the_beginning(lab):
    with pytest.raises(DeviceError, match=r"kernel\.cu:11: out of bounds: reads 4 bytes at byte -\d+ of argument"):
        lab.run(SOURCE, 2, 64, np.int32(-1), *_arrays(), shared=256, sanitize=True)


def test_writing_past_the_end_of_a_buffer_in_a_larger_allocation(lab):
    """The neighbour in memory is another argument's buffer; the message names the nearest, and no byte was written."""
    y = np.zeros(65)
    with pytest.raises(DeviceError, match=r"kernel\.cu:5: out of bounds: writes 8 bytes at byte 520 of argument 1, y"):
        lab.run(LOOP, 1, 128, np.int32(65), y, sanitize=True)
    assert (y == np.arange(65)).all()


def test_dynamic_shared_memory_is_as_large_as_the_launch_says(lab):
    with pytest.raises(
        DeviceError, match=r"kernel\.cu:8: .*writes 4 bytes at offset 200 of dynamic shared memory.* 200 bytes"
    ):
        lab.run(SOURCE, 2, 64, np.int32(0), *_arrays(), shared=200, sanitize=True)


def test_a_wild_pointer(lab):
    source = 'extern "C" __global__ void k(float* y) {\n  *(int*)((size_t)y ^ (1ull << 45)) = 1;\n}'
    with pytest.raises(
        DeviceError, match=r"kernel\.cu:2: out of bounds: writes 4 bytes at address 0x[0-9a-f]+, which is in no buffer"
    ):
        lab.run(source, 1, 1, np.zeros(1, np.float32), sanitize=True)


def test_line_tables_of_other_files():
    assert source_line(b"", 5) is None
    assert source_line(b"\x7fELF\x02" + bytes(100), 5) is None
