"""Whole kernels against NumPy, over sizes, block shapes, numbers of workers and schedules."""

import ctypes

import numpy as np
import pytest

from cudagraph.engine.devices.host.abi import KernelInfo, Launch

SAXPY = """
extern "C" __global__ void k(int n, float a, const float* __restrict__ x, float* __restrict__ y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i] + y[i];
}"""
GRID_STRIDE = """
extern "C" __global__ void k(int n, int* __restrict__ y) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) y[i] = y[i] * 3 + i;
}"""
REDUCE = """
__device__ __forceinline__ float warp_sum(float v) {
  #pragma unroll
  for (int o = 16; o > 0; o >>= 1) v += __shfl_down_sync(0xffffffffu, v, o);
  return v;
}
__device__ float block_sum(float v) {
  __shared__ float partial[32];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  v = warp_sum(v);
  if (lane == 0) partial[warp] = v;
  __syncthreads();
  v = threadIdx.x < (blockDim.x + 31) / 32 ? partial[lane] : 0.f;
  return warp == 0 ? warp_sum(v) : v;
}
extern "C" __global__ void __launch_bounds__(1024) k(long long n, const float* x, float* out) {
  float sum = 0.f;
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x)
    sum += x[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) atomicAdd(out, sum);
}"""
APPEND = """
extern "C" __global__ void k(int n, const float4* __restrict__ p, float limit, int* count, int* out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  if (p[i].x > limit) out[atomicAdd(count, 1)] = i;
}"""
APPEND_BALLOT = """
extern "C" __global__ void k(int n, const float4* __restrict__ p, float limit, int* count, int* out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x & 31, base = 0;
  bool wanted = i < n && p[i].x > limit;
  unsigned mask = __ballot_sync(0xffffffffu, wanted);
  if (lane == 0 && mask) base = atomicAdd(count, __popc(mask));
  base = __shfl_sync(0xffffffffu, base, 0);
  if (wanted) out[base + __popc(mask & ((1u << lane) - 1))] = i;
}"""
TILED_MATMUL = """
#define TILE 16
extern "C" __global__ void k(int m, int n, int depth, const float* a, const float* b, float* c) {
  __shared__ float as[TILE][TILE], bs[TILE][TILE];
  int tx = threadIdx.x, ty = threadIdx.y, row = blockIdx.y * TILE + ty, column = blockIdx.x * TILE + tx;
  float sum = 0.f;
  for (int t = 0; t < (depth + TILE - 1) / TILE; t++) {
    as[ty][tx] = row < m && t * TILE + tx < depth ? a[row * depth + t * TILE + tx] : 0.f;
    bs[ty][tx] = column < n && t * TILE + ty < depth ? b[(t * TILE + ty) * n + column] : 0.f;
    __syncthreads();
    for (int i = 0; i < TILE; i++) sum += as[ty][i] * bs[i][tx];
    __syncthreads();
  }
  if (row < m && column < n) c[row * n + column] = sum;
}"""
NAIVE_MATMUL = """
extern "C" __global__ void k(int m, int n, int depth, const float* a, const float* b, float* c) {
  int row = blockIdx.y * blockDim.y + threadIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= m || column >= n) return;
  float sum = 0.f;
  for (int i = 0; i < depth; i++) sum += a[row * depth + i] * b[i * n + column];
  c[row * n + column] = sum;
}"""
SOFTMAX = """
extern "C" __global__ void k(int columns, const float* x, float* y) {
  extern __shared__ float scratch[];
  const float* row = x + (size_t)blockIdx.x * columns;
  float highest = -INFINITY, sum = 0.f;
  for (int c = threadIdx.x; c < columns; c += blockDim.x) highest = fmaxf(highest, row[c]);
  scratch[threadIdx.x] = highest;
  __syncthreads();
  for (int t = 0; t < blockDim.x; t++) highest = fmaxf(highest, scratch[t]);
  __syncthreads();
  for (int c = threadIdx.x; c < columns; c += blockDim.x) sum += __expf(row[c] - highest);
  scratch[threadIdx.x] = sum;
  __syncthreads();
  sum = 0.f;
  for (int t = 0; t < blockDim.x; t++) sum += scratch[t];
  for (int c = threadIdx.x; c < columns; c += blockDim.x)
    y[(size_t)blockIdx.x * columns + c] = __expf(row[c] - highest) / sum;
}"""

SIZES = (1, 31, 33, 256, 1000, 30001)
BLOCKS = (1, 7, 32, 33, 100, 256, 1000, 1024)
SCHEDULES = ("forward", "reverse", "random")


def _cases():
    for n in SIZES:
        for threads in BLOCKS:
            for workers in (1, 2, 3):
                for schedule in SCHEDULES if n <= 1000 else ("forward",):
                    yield n, threads, workers, schedule


def _blocks(n: int, threads: int) -> int:
    return (n + threads - 1) // threads


def test_elementwise(lab, workers):
    rng = np.random.default_rng(1)
    for n, threads, count, schedule in _cases():
        workers(count)
        x, y = rng.random((2, n), np.float32)
        expected = np.float32(2.5) * x + y
        lab.run(SAXPY, _blocks(n, threads), threads, np.int32(n), np.float32(2.5), x, y, schedule=schedule)
        np.testing.assert_allclose(y, expected, rtol=1e-6, err_msg=f"{n} {threads} {count} {schedule}")


def test_grid_stride_loop(lab, workers):
    for n, threads, count, schedule in _cases():
        workers(count)
        for grid in (1, 5):
            y = np.ones(n, np.int32)
            lab.run(GRID_STRIDE, grid, threads, np.int32(n), y, schedule=schedule)
            assert (y == 3 + np.arange(n)).all(), (n, threads, count, schedule, grid)


def test_block_reduction_with_shuffles_and_float_atomics(lab, workers):
    rng = np.random.default_rng(2)
    for n, threads, count, schedule in _cases():
        workers(count)
        x, out = rng.random(n, np.float32), np.zeros(1, np.float32)
        lab.run(REDUCE, 3, threads, np.int64(n), x, out, schedule=schedule)
        np.testing.assert_allclose(
            out[0], x.sum(dtype=np.float64), rtol=1e-4, err_msg=f"{n} {threads} {count} {schedule}"
        )


@pytest.mark.parametrize("source", [APPEND, APPEND_BALLOT], ids=["atomic", "ballot"])
def test_append(lab, workers, source):
    rng = np.random.default_rng(3)
    for n, threads, count, schedule in _cases():
        workers(count)
        points, counter, out = np.zeros((n, 4), np.float32), np.zeros(1, np.int32), np.full(n, -1, np.int32)
        points[:, 0] = rng.random(n)
        lab.run(
            source, _blocks(n, threads), threads, np.int32(n), points, np.float32(0.5), counter, out, schedule=schedule
        )
        expected = np.flatnonzero(points[:, 0] > 0.5)
        assert counter[0] == len(expected), (n, threads, count, schedule)
        assert (np.sort(out[: counter[0]]) == expected).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("m", "n", "depth"), [(1, 1, 1), (16, 16, 16), (17, 33, 5), (64, 48, 100), (100, 1, 64)])
def test_matmul(lab, m, n, depth, schedule):
    rng = np.random.default_rng(4)
    a, b = rng.random((m, depth), np.float32), rng.random((depth, n), np.float32)
    for source, blocks in ((TILED_MATMUL, [(16, 16)]), (NAIVE_MATMUL, [(32, 8), (5, 7), (1, 1)])):
        for block in blocks:
            c = np.full((m, n), np.nan, np.float32)
            grid = (_blocks(n, block[0]), _blocks(m, block[1]))
            lab.run(source, grid, block, np.int32(m), np.int32(n), np.int32(depth), a, b, c, schedule=schedule)
            np.testing.assert_allclose(c, a @ b, rtol=1e-4)


@pytest.mark.parametrize("threads", [32, 100, 256])
def test_dynamic_shared_memory(lab, threads):
    x = np.random.default_rng(5).normal(size=(37, 300)).astype(np.float32)
    y = np.zeros_like(x)
    lab.run(SOFTMAX, 37, threads, np.int32(300), x, y, shared=4 * threads)
    e = np.exp(x - x.max(1, keepdims=True))
    np.testing.assert_allclose(y, e / e.sum(1, keepdims=True), rtol=2e-6)


def test_more_than_48_kilobytes_of_dynamic_shared_memory(lab):
    source = """
    extern __shared__ __align__(16) unsigned char raw[];
    extern "C" __global__ void k(int n, int* y) {
      int* values = reinterpret_cast<int*>(raw);
      for (int i = threadIdx.x; i < n; i += blockDim.x) values[i] = 7 * i + blockIdx.x;
      __syncthreads();
      for (int i = threadIdx.x; i < n; i += blockDim.x) y[blockIdx.x * n + i] = values[n - 1 - i];
    }"""
    n = 50_000
    y = np.zeros((4, n), np.int32)
    lab.run(source, 4, 128, np.int32(n), y, shared=4 * n)
    assert (y == 7 * np.arange(n)[::-1] + np.arange(4)[:, None]).all()


def test_templates_lambdas_namespaces_structs_constants_and_recursion(lab):
    source = """
    #include <cuda_runtime.h>
    #include <cstdint>
    namespace physics { struct Body { float mass; float3 velocity; int tag; }; }
    __constant__ float weights[4] = {1.f, 0.5f, 0.25f, 0.125f};
    __device__ int offset = 40;
    template <int N, class T> __device__ T polynomial(T x) {
      T r = T(0);
      #pragma unroll
      for (int i = 0; i < N; i++) r = r * x + weights[i];
      return r;
    }
    __device__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
    extern "C" __global__ void k(physics::Body body, T scale, float* y, std::int32_t* z) {
      auto twice = [=] __device__ (float v) { return 2.f * v * scale; };
      int i = threadIdx.x;
      y[i] = twice(polynomial<4>((float)i)) + body.velocity.y * body.mass;
      z[i] = fibonacci(i) + offset + body.tag;
    }"""
    source = source.replace("std::int32_t", "int32_t")
    body = np.array([(2.0, (1, 3, 5), 9)], np.dtype([("m", "f4"), ("v", "f4", 3), ("t", "i4")]))[0]
    y, z = np.zeros(16, np.float32), np.zeros(16, np.int32)
    lab.run(source, 1, 16, body, np.float32(1.5), y, z, define={"T": "float"})
    x = np.arange(16)
    np.testing.assert_allclose(y, 3 * (((x + 0.5) * x + 0.25) * x + 0.125) + 6, rtol=1e-6)
    fibonacci = [0, 1]
    while len(fibonacci) < 16:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    assert (z == np.array(fibonacci) + 49).all()


def test_a_grid_larger_than_a_signed_index(lab):
    """Only the blocks around index 2^31 are run, through the module's own function."""
    source = """
    extern "C" __global__ void k(unsigned long long* y) {
      unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
      if (i >= 0x80000000ull - 3 && i < 0x80000000ull + 3) y[i - (0x80000000ull - 3)] = i;
    }"""
    y = np.zeros(6, np.uint64)
    pointer = ctypes.c_void_p(y.ctypes.data)
    arguments = (ctypes.c_void_p * 1)(ctypes.addressof(pointer))
    launch = Launch()
    launch.grid[:], launch.threads[:] = ((1 << 21) + 1, 1, 1), (1024, 1, 1)
    launch.arguments = ctypes.addressof(arguments)
    kernel = lab.kernel(lab.program(source))
    run = ctypes.CFUNCTYPE(None, ctypes.POINTER(Launch), ctypes.c_int64, ctypes.c_int64)(
        KernelInfo.from_address(kernel.address).run
    )
    run(ctypes.byref(launch), (1 << 21) - 2, (1 << 21) + 1)
    assert (y == (1 << 31) - 3 + np.arange(6, dtype=np.uint64)).all()


def test_three_dimensional_blocks_and_grids(lab):
    source = """
    extern "C" __global__ void k(int* y) {
      int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
      int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
      y[block * blockDim.x * blockDim.y * blockDim.z + thread] += 1 + thread + 1000 * block;
    }"""
    for schedule in SCHEDULES:
        y = np.zeros((24, 30), np.int32)
        lab.run(source, (2, 3, 4), (5, 3, 2), y, schedule=schedule)
        assert (y == 1 + np.arange(30) + 1000 * np.arange(24)[:, None]).all()


def test_every_compiler_gives_the_same(lab, compiler):
    rng = np.random.default_rng(6)
    x, y = rng.random((2, 1000), np.float32)
    expected, out = np.float32(3) * x + y, np.zeros(1, np.float32)
    lab.run(SAXPY, 4, 256, np.int32(1000), np.float32(3), x, y, cxx=compiler)
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    lab.run(REDUCE, 3, 100, np.int64(1000), x, out, cxx=compiler)
    np.testing.assert_allclose(out[0], x.sum(), rtol=1e-5)
    rows, soft = x.reshape(10, 100).copy(), np.zeros((10, 100), np.float32)
    lab.run(SOFTMAX, 10, 64, np.int32(100), rows, soft, shared=256, cxx=compiler)
    np.testing.assert_allclose(soft.sum(1), 1, rtol=1e-5)
