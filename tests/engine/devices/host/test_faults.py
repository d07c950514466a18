"""What a GPU answers with silence or a hang, the host says in words: kernel, place, thread."""

import re

import numpy as np
import pytest

from cudagraph.errors import CompileError, DeviceError

SCHEDULES = ("forward", "reverse", "random")


def _fault(lab, source, threads=64, grid=1, arguments=None, **settings) -> str:
    arguments = [np.ones(64, np.int32)] if arguments is None else arguments
    with pytest.raises(DeviceError) as caught:
        lab.run(source, grid, threads, *arguments, **settings)
    assert caught.value.node == 0
    assert str(caught.value).startswith("lab/k: kernel k")
    return str(caught.value)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_divergent_barrier(lab, schedule):
    source = """
    extern "C" __global__ void k(int* y) {
      if (threadIdx.x < 5) __syncthreads(); else __shfl_sync(~0u, 1, 0);
      y[0] = 1;
    }"""
    message = _fault(lab, source, schedule=schedule)
    assert "deadlock" in message and "__syncthreads" in message and "warp operation" in message


def test_lanes_of_a_mask_that_never_come(lab):
    source = """
    extern "C" __global__ void k(int* y) {
      unsigned mask = threadIdx.x < 8 ? 0x0000ffffu : threadIdx.x < 16 ? 0x00ffff00u : 0xffffffffu;
      y[threadIdx.x] = __shfl_sync(mask, 1, 0);
    }"""
    assert "waits for lanes of its mask that never come" in _fault(lab, source, threads=32)


def test_a_mask_without_the_caller(lab):
    source = 'extern "C" __global__ void k(int* y) { y[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, 0); }'
    message = _fault(lab, source)
    assert "mask" in message and "thread (16, 0, 0) of block (0, 0, 0)" in message


@pytest.mark.parametrize("barrier", ["", "__syncthreads();"], ids=["loop", "fibers"])
def test_assert(lab, barrier):
    source = f"""#include <assert.h>
    extern "C" __global__ void k(int* y) {{
      {barrier}
      assert(threadIdx.x != 3 || blockIdx.x != 2);
      y[threadIdx.x] = 2;
    }}"""
    message = _fault(lab, source, grid=4)
    assert "kernel k at kernel.cu:4: assert(threadIdx.x != 3 || blockIdx.x != 2) failed" in message
    assert message.endswith("in thread (3, 0, 0) of block (2, 0, 0)")


@pytest.mark.parametrize("barrier", ["", "__syncthreads();"], ids=["loop", "fibers"])
def test_trap_ends_the_launch_and_the_device_goes_on(lab, barrier):
    source = f"""
    extern "C" __global__ void k(int* y, int bad) {{
      {barrier}
      if ((int)threadIdx.x == bad) __trap();
      y[threadIdx.x] = 5;
    }}"""
    assert "__trap() was called" in _fault(lab, source, arguments=[np.ones(64, np.int32), np.int32(7)])
    y = np.ones(64, np.int32)
    lab.run(source, 1, 64, y, np.int32(-1))
    assert (y == 5).all()


def test_a_barrier_that_the_source_hides(lab):
    source = """
    struct Meet { __device__ int operator+(int) const { __syncthreads(); return 1; } };
    constexpr Meet meet;
    extern "C" __global__ void k(int* y) { y[threadIdx.x] = meet + 1; }"""
    message = _fault(lab, source)
    assert "__syncthreads was reached" in message and "CUDAGRAPH_FIBERS" in message
    y = np.zeros(64, np.int32)
    lab.run("#define CUDAGRAPH_FIBERS\n" + source, 1, 64, y)
    assert (y == 1).all()


RECURSION = """
__device__ __noinline__ int deep(int n) {
  volatile int local[64];
  local[n & 63] = n;
  return n ? deep(n - 1) + local[n & 63] : 0;
}
extern "C" __global__ void k(int* y, int depth) {
  __syncthreads();
  if (threadIdx.x == 9) y[0] = deep(depth);
  __syncthreads();
}"""


def test_a_stack_that_overflows(lab):
    y = np.zeros(1, np.int32)
    lab.run(RECURSION, 1, 64, y, np.int32(50))
    assert y[0] == sum(range(51))
    assert "stack overflowed" in _fault(lab, RECURSION, arguments=[y, np.int32(400)])


def test_large_local_arrays_do_not_compile(lab):
    source = """
    extern "C" __global__ void k(int* y) {
      volatile int local[20000];
      for (int i = 0; i < 20000; i++) local[i] = i;
      __syncthreads();
      y[threadIdx.x] = local[threadIdx.x];
    }"""
    with pytest.raises(CompileError, match=r"local arrays of kernel k take 80,\d+ bytes of stack"):
        lab.run(source, 1, 32, np.zeros(32, np.int32))


@pytest.mark.parametrize(
    ("grid", "threads", "shared", "message"),
    [
        (1, (33, 32), 0, "1056 threads per block; kernel k takes 1 to 1024"),
        (1, 32, 300_000, "300000 bytes of dynamic shared memory; a block can have 232448"),
    ],
)
def test_impossible_launches(lab, grid, threads, shared, message):
    with pytest.raises(DeviceError, match=re.escape(message)):
        lab.run('extern "C" __global__ void k(int* y) {}', grid, threads, np.zeros(1, np.int32), shared=shared)


def test_more_threads_than_launch_bounds_allow(lab):
    with pytest.raises(DeviceError, match="128 threads per block; kernel k takes 1 to 64"):
        lab.run('extern "C" __global__ void __launch_bounds__(64) k(int* y) {}', 1, 128, np.zeros(1, np.int32))


def test_arguments_of_a_wrong_size(lab):
    source = 'extern "C" __global__ void k(int* y, float gain, long long n) {}'
    y = np.zeros(1, np.int32)
    with pytest.raises(DeviceError, match=r"argument 1 \(gain\) of kernel k takes 4 bytes; 8 were given"):
        lab.run(source, 1, 1, y, np.float64(1), np.int64(1))
    with pytest.raises(DeviceError, match=r"argument 0 \(y\) of kernel k takes 8 bytes; 4 were given"):
        lab.run(source, 1, 1, np.float32(1), np.float32(1), np.int64(1))
    with pytest.raises(DeviceError, match="kernel k takes 3 arguments; the plan gives 2"):
        lab.run(source, 1, 1, y, np.float32(1))


def test_schedules_expose_a_missing_barrier(lab):
    def outputs(barrier: str) -> list[np.ndarray]:
        source = f"""
        extern "C" __global__ void k(const float* x, float* y) {{
          __shared__ float s[256];
          s[threadIdx.x] = -1.f;
          __syncthreads();
          s[threadIdx.x] = x[threadIdx.x];
          {barrier}
          y[threadIdx.x] = s[255 - threadIdx.x];
        }}"""
        found = []
        for schedule in SCHEDULES:
            x, y = np.arange(256, dtype=np.float32), np.zeros(256, np.float32)
            lab.run(source, 1, 256, x, y, schedule=schedule)
            found.append(y)
        return found

    good, racy = outputs("__syncthreads();"), outputs("")
    assert all((y == np.arange(256)[::-1]).all() for y in good)
    assert len({y.tobytes() for y in racy}) == 3


def test_schedules_expose_a_race_between_blocks_and_in_loops(lab, workers):
    source = 'extern "C" __global__ void k(int* y) { y[0] = blockIdx.x * blockDim.x + threadIdx.x; }'
    last = []
    for schedule in SCHEDULES:
        y = np.zeros(1, np.int32)
        workers(1)
        lab.run(source, 5, 7, y, schedule=schedule)
        last.append(int(y[0]))
    assert last[0] == 34 and last[1] == 0 and last[2] not in (0, 34)
