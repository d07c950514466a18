"""Intrinsics of warps, integers, floats and atomics, each against its definition."""

import math

import numpy as np
import pytest

LANES = np.arange(32)
SCHEDULES = ("forward", "reverse", "random")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_shuffles(lab, schedule):
    source = """
    extern "C" __global__ void k(int* y) {
      int l = threadIdx.x & 31, n = blockDim.x, t = threadIdx.x;
      y[0 * n + t] = __shfl_sync(~0u, 3 * l, 5);
      y[1 * n + t] = __shfl_sync(~0u, l, l * 5, 8);
      y[2 * n + t] = __shfl_up_sync(~0u, l, 3);
      y[3 * n + t] = __shfl_up_sync(~0u, l, 3, 8);
      y[4 * n + t] = __shfl_down_sync(~0u, l, 5);
      y[5 * n + t] = __shfl_down_sync(~0u, l, 5, 16);
      y[6 * n + t] = __shfl_xor_sync(~0u, l, 9);
      y[7 * n + t] = __shfl_xor_sync(~0u, l, 9, 8);
      y[8 * n + t] = (int)__shfl_sync(~0u, 0.5 * l, 31 - l) + (int)__shfl_sync(~0u, 1ll << l, 31);
      y[8 * n + t] += (int)__shfl_sync(~0u, 2.f * l, l ^ 1);
    }"""
    y = np.zeros((9, 96), np.int32)
    lab.run(source, 1, 96, y, schedule=schedule)
    lane = LANES
    last_wide = np.array([(31 - i) // 2 for i in lane]) + np.int32(np.uint32(1 << 31).view(np.int32)) + 2 * (lane ^ 1)
    flipped = lane ^ 9
    expected = [
        np.full(32, 15),
        (lane & ~7) | ((lane * 5) & 7),
        np.where(lane < 3, lane, lane - 3),
        np.where((lane & 7) < 3, lane, lane - 3),
        np.where(lane + 5 > 31, lane, lane + 5),
        np.where((lane & 15) + 5 > 15, lane, lane + 5),
        flipped,
        np.where((flipped & ~7) > (lane & ~7), lane, flipped),
        last_wide,
    ]
    assert (y == np.tile(np.array(expected), 3)).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_votes_matches_and_reductions(lab, schedule):
    source = """
    extern "C" __global__ void k(unsigned* y) {
      int l = threadIdx.x & 31, n = blockDim.x, t = threadIdx.x, same;
      y[0 * n + t] = __ballot_sync(~0u, l % 3 == 0);
      y[1 * n + t] = __any_sync(~0u, l == 7) + 2 * __any_sync(~0u, l == 99);
      y[1 * n + t] += 4 * __all_sync(~0u, l < 32) + 8 * __all_sync(~0u, l < 31);
      y[2 * n + t] = __match_any_sync(~0u, l % 5);
      y[3 * n + t] = __match_all_sync(~0u, 4, &same) + same;
      y[4 * n + t] = __match_all_sync(~0u, l / 31, &same) + same;
      y[5 * n + t] = __reduce_add_sync(~0u, l) + __reduce_max_sync(~0u, 3 - l) * 1000;
      y[6 * n + t] = __reduce_min_sync(~0u, (unsigned)l + 2) + 100 * __reduce_and_sync(~0u, (unsigned)l | 6);
      y[6 * n + t] += 10000 * __reduce_or_sync(~0u, 1u << (l & 3));
      y[7 * n + t] = __reduce_xor_sync(~0u, 1u << l) + __uni_sync(~0u, 1) + 2 * __uni_sync(~0u, l & 1);
    }"""
    y = np.zeros((8, 64), np.uint32)
    lab.run(source, 1, 64, y, schedule=schedule)
    thirds = sum(1 << i for i in range(0, 32, 3))
    match = [sum(1 << j for j in range(32) if j % 5 == i % 5) for i in range(32)]
    all_lanes = 0xFFFFFFFF
    rows = [
        [thirds] * 32,
        [1 + 4] * 32,
        match,
        [(all_lanes + 1) % 2**32] * 32,
        [0] * 32,
        [31 * 16 + 3000] * 32,
        [2 + 100 * 6 + 10000 * 15] * 32,
        [(all_lanes + 1) % 2**32] * 32,
    ]
    assert (y == np.tile(np.array(rows, np.uint64).astype(np.uint32), 2)).all()


def test_partial_masks_may_overlap_in_time(lab):
    """Lane 0 meets lane 1 first and lane 2 next, but lane 2 may come first: two masks of lane 0 are in flight."""
    source = """
    extern "C" __global__ void k(int* y) {
      int l = threadIdx.x, v = 10 + l;
      if (l == 2) v = __shfl_sync(0x5u, v, 0);
      if (l == 0) { v += __shfl_sync(0x3u, v, 1); v += __shfl_sync(0x5u, v, 2); }
      if (l == 1) v = __shfl_sync(0x3u, v, 0);
      if (l >= 16) v = __reduce_add_sync(0xffff0000u, l);
      y[l] = v;
    }"""
    for schedule in SCHEDULES:
        y = np.zeros(32, np.int32)
        lab.run(source, 1, 32, y, schedule=schedule)
        assert list(y[:4]) == [21 + 12, 10, 21, 13], schedule
        assert (y[16:] == sum(range(16, 32))).all()


def test_lanes_that_returned_are_not_waited_for(lab):
    source = """
    extern "C" __global__ void k(int* y) {
      if (threadIdx.x % 4 == 3) return;
      __syncthreads();
      int n = __popc(__ballot_sync(~0u, 1));
      __syncthreads();
      y[threadIdx.x] = n;
    }"""
    for schedule in SCHEDULES:
        y = np.zeros(70, np.int32)
        lab.run(source, 1, 70, y, schedule=schedule)
        live = np.arange(70) % 4 != 3
        counts = np.array([sum(1 for j in range(w * 32, min(70, w * 32 + 32)) if j % 4 != 3) for w in range(3)])
        assert (y == np.where(live, counts[np.arange(70) // 32], 0)).all()


def test_votes_of_a_block(lab):
    source = """
    extern "C" __global__ void k(int* y) {
      int t = threadIdx.x, a = __syncthreads_count(t % 3 == 0);
      int b = __syncthreads_or(t == 50), c = __syncthreads_and(t < 99);
      y[t] = a + 1000 * b + 2000 * c + 4000 * __syncthreads_or(t > 1000) + 8000 * __syncthreads_and(t < 100);
    }"""
    for schedule in SCHEDULES:
        y = np.zeros(100, np.int32)
        lab.run(source, 2, 100, y, schedule=schedule)
        assert (y == 34 + 1000 + 8000).all()


def test_cooperative_groups(lab):
    source = """
    #include <cooperative_groups.h>
    #include <cooperative_groups/reduce.h>
    namespace cg = cooperative_groups;
    extern "C" __global__ void k(int* y) {
      cg::thread_block block = cg::this_thread_block();
      auto tile = cg::tiled_partition<8>(block);
      __shared__ int total;
      if (block.thread_rank() == 0) total = 0;
      block.sync();
      int sum = cg::reduce(tile, (int)tile.thread_rank() + 1, cg::plus<int>());
      if (tile.thread_rank() == 0) atomicAdd(&total, sum);
      cg::sync(block);
      int before = cg::exclusive_scan(tile, 1), group = tile.shfl(tile.meta_group_rank(), 0);
      y[block.thread_rank()] = total * 1000 + tile.ballot(tile.thread_rank() < 3) * 100 + group * 10 + before;
    }"""
    y = np.zeros(32, np.int32)
    lab.run(source, 1, 32, y)
    assert (y == 36 * 4 * 1000 + 700 + np.arange(32) % 8 + np.arange(32) // 8 * 10).all()


INTEGER = {
    "__clz(v)": lambda v: 32 - int(v).bit_length(),
    "__popc(v)": lambda v: bin(v).count("1"),
    "__ffs(v)": lambda v: (v & -v).bit_length(),
    "__brev(v)": lambda v: int(f"{v:032b}"[::-1], 2),
    "__umulhi(v, 0xdeadbeefu)": lambda v: v * 0xDEADBEEF >> 32,
    "__mulhi((int)v, -77777)": lambda v: (_signed(v) * -77777 >> 32) & 0xFFFFFFFF,
    "__byte_perm(v, 0x89abcdefu, 0x7340)": lambda v: _bytes(v, 0x89ABCDEF, (0, 4, 3, 7)),
    "__byte_perm(v, 0x89abcdefu, 0xc3f8)": lambda v: _bytes(v, 0x89ABCDEF, (8, 15, 3, 12)),
    "__funnelshift_l(v, 0x12345678u, v & 63)": lambda v: ((0x12345678 << 32 | v) << (v & 31) >> 32) & 0xFFFFFFFF,
    "__funnelshift_r(v, 0x12345678u, v & 63)": lambda v: ((0x12345678 << 32 | v) >> (v & 31)) & 0xFFFFFFFF,
    "__funnelshift_lc(v, 0x12345678u, v & 63)": lambda v: (
        ((0x12345678 << 32 | v) << min(v & 63, 32) >> 32) & 0xFFFFFFFF
    ),
    "__funnelshift_rc(v, 0x12345678u, v & 63)": lambda v: ((0x12345678 << 32 | v) >> min(v & 63, 32)) & 0xFFFFFFFF,
    "__umul24(v, 0x01fffff3u)": lambda v: (v & 0xFFFFFF) * 0xFFFFF3 & 0xFFFFFFFF,
    "__uhadd(v, 0xfffffff1u)": lambda v: v + 0xFFFFFFF1 >> 1,
    "__urhadd(v, 0xfffffff1u)": lambda v: v + 0xFFFFFFF1 + 1 >> 1,
    "__usad(v, 1000u, 5u)": lambda v: (abs(v - 1000) + 5) & 0xFFFFFFFF,
    "__sad((int)v, 1000, 5u)": lambda v: (abs(_signed(v) - 1000) + 5) & 0xFFFFFFFF,
    "__dp4a((int)v, 0x01ff7f80, 3)": lambda v: (
        (sum(map(math.prod, zip(_int8(v), _int8(0x01FF7F80), strict=True))) + 3) & 0xFFFFFFFF
    ),
    "(unsigned)__clzll((long long)v << 7)": lambda v: 64 - (v << 7).bit_length(),
    "(unsigned)__popcll((unsigned long long)v * 0x100000001ull)": lambda v: 2 * bin(v).count("1"),
    "(unsigned)__ffsll((long long)v << 20)": lambda v: (v << 20 & -(v << 20)).bit_length(),
    "(unsigned)(__brevll(v) >> 32)": lambda v: int(f"{v:032b}"[::-1], 2),
    "(unsigned)__umul64hi((unsigned long long)v << 32, 0xfedcba9876543210ull)": lambda v: (
        (v << 32) * 0xFEDCBA9876543210 >> 64 & 0xFFFFFFFF
    ),
    "__float_as_uint(__uint_as_float(v))": lambda v: v,
    "(unsigned)__double2hiint(__hiloint2double((int)v, 5))": lambda v: v,
    "min(v, 1000) + max((int)v, 7u)": lambda v: (min(v, 1000) + max(v, 7)) & 0xFFFFFFFF,
}


def _signed(v: int) -> int:
    return v - (1 << 32) if v >> 31 else v


def _int8(v: int) -> list[int]:
    return [((v >> 8 * i & 0xFF) ^ 0x80) - 0x80 for i in range(4)]


def _bytes(low: int, high: int, selectors: tuple[int, ...]) -> int:
    both, result = high << 32 | low, 0
    for i, selector in enumerate(selectors):
        byte = both >> 8 * (selector & 7) & 0xFF
        result |= (byte if selector < 8 else 0xFF * (byte >> 7)) << 8 * i
    return result


def test_integer_intrinsics(lab):
    rng = np.random.default_rng(1)
    values = np.concatenate([[0, 1, 2, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFF], rng.integers(0, 1 << 32, 250)]).astype(
        np.uint32
    )
    rows = "\n".join(f"y[{i} * n + t] = {expression};" for i, expression in enumerate(INTEGER))
    source = f"""
    extern "C" __global__ void k(int n, const unsigned* x, unsigned* y) {{
      int t = threadIdx.x;
      unsigned v = x[t];
      {rows}
    }}"""
    y = np.zeros((len(INTEGER), len(values)), np.uint32)
    lab.run(source, 1, len(values), np.int32(len(values)), values, y)
    for row, (expression, function) in zip(y, INTEGER.items(), strict=True):
        expected = [function(int(v)) & 0xFFFFFFFF for v in values]
        np.testing.assert_array_equal(row, np.array(expected, np.uint32), err_msg=expression)


FLOAT = {  # expression of x in (-inf, inf): NumPy's or math's, and the largest error in units in the last place
    "expf(x)": (np.exp, 2.5),
    "__expf(x)": (np.exp, 2.5),
    "exp2f(x)": (np.exp2, 2.5),
    "logf(fabsf(x))": (lambda x: np.log(np.abs(x)), 2),
    "log2f(fabsf(x))": (lambda x: np.log2(np.abs(x)), 2),
    "tanhf(x)": (np.tanh, 3),
    "tanh(x)": (np.tanh, 3),
    "sinf(x)": (np.sin, 2),
    "cos(x)": (np.cos, 2),
    "sqrtf(fabsf(x))": (lambda x: np.sqrt(np.abs(x)), 0.51),
    "rsqrtf(fabsf(x))": (lambda x: 1 / np.sqrt(np.abs(x)), 2),
    "cbrtf(x)": (np.cbrt, 1.5),
    "erff(x)": (np.vectorize(math.erf), 2),
    "log1pf(fabsf(x))": (lambda x: np.log1p(np.abs(x)), 2),
    "floorf(x) + ceilf(x) * 0.5f": (lambda x: np.floor(x) + np.ceil(x) * 0.5, 0.51),
    "rintf(x)": (np.rint, 0),
    "fmodf(x, 0.75f)": (lambda x: np.fmod(x, 0.75), 0),
    "fmaxf(x, 0.25f) - fminf(x, -0.5f)": (lambda x: np.maximum(x, 0.25) - np.minimum(x, -0.5), 0.51),
    "__saturatef(x)": (lambda x: np.clip(x, 0, 1), 0),
    "fmaf(x, 3.f, 1e-3f)": (lambda x: x * 3 + np.float64(np.float32(1e-3)), 0.51),
    "__fmul_rn(x, x) ": (lambda x: x * x, 0.51),
    "copysignf(2.f, x)": (lambda x: np.copysign(2, x), 0),
    "exp10f(x * 0.1f)": (lambda x: 10 ** np.float64(np.float32(x.astype(np.float32) * np.float32(0.1))), 2),
}


def test_float_functions(lab):
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(scale=s, size=500) for s in (1e-3, 0.3, 3, 20)]).astype(np.float32)
    rows = "\n".join(f"y[{i} * n + t] = {expression};" for i, expression in enumerate(FLOAT))
    source = f"""
    extern "C" __global__ void k(int n, const float* in, float* y) {{
      int t = blockIdx.x * blockDim.x + threadIdx.x;
      float x = in[t];
      {rows}
    }}"""
    y = np.zeros((len(FLOAT), len(x)), np.float32)
    lab.run(source, len(x) // 500, 500, np.int32(len(x)), x, y)
    for row, (expression, (function, most)) in zip(y, FLOAT.items(), strict=True):
        exact = function(x.astype(np.float64))
        error = np.abs(row - exact) / np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
        assert error.max() <= most + 1e-6, (expression, error.max(), x[error.argmax()])


def test_special_values(lab):
    source = """
    extern "C" __global__ void k(const float* in, float* y) {
      int t = threadIdx.x, n = blockDim.x;
      float x = in[t];
      y[t] = expf(x); y[n + t] = logf(x); y[2 * n + t] = tanhf(x);
      y[3 * n + t] = fmaxf(x, 1.f); y[4 * n + t] = fminf(1.f, x);
      y[5 * n + t] = (isnan(x) ? 1 : 0) + (isinf(x) ? 2 : 0) + (isfinite(x) ? 4 : 0) + (signbit(x) ? 8 : 0);
      y[6 * n + t] = (float)__float2int_rn(x); y[7 * n + t] = exp2f(x);
    }"""
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 88.7, -103.0, 200.0, -200.0, 2.5, 3.5, -2.5], np.float32)
    y = np.zeros((8, len(x)), np.float32)
    lab.run(source, 1, len(x), x, y)
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        np.testing.assert_allclose(y[0], np.exp(wide).astype(np.float32), rtol=3e-7, atol=2e-45)
        np.testing.assert_allclose(y[1], np.log(wide).astype(np.float32), rtol=3e-7)
        np.testing.assert_allclose(y[2], np.tanh(wide).astype(np.float32), rtol=3e-7)
        np.testing.assert_allclose(y[7], np.exp2(wide).astype(np.float32), rtol=3e-7, atol=2e-45)
    np.testing.assert_array_equal(y[3], np.fmax(x, np.float32(1)))
    np.testing.assert_array_equal(y[4], np.fmin(x, np.float32(1)))
    np.testing.assert_array_equal(y[5], [4, 12, 2, 10, 1, 4, 4, 12, 4, 12, 4, 4, 12])
    limit = float(np.float32(2**31))
    np.testing.assert_array_equal(y[6], [0, 0, limit, -limit, 0, 0, 89, -103, 200, -200, 2, 4, -2])


ATOMICS = {
    "atomicAdd": ("int", lambda old, v: old + v),
    "atomicSub": ("int", lambda old, v: old - v),
    "atomicMin": ("int", min),
    "atomicMax": ("int", max),
    "atomicAnd": ("unsigned", lambda old, v: old & v),
    "atomicOr": ("unsigned", lambda old, v: old | v),
    "atomicXor": ("unsigned", lambda old, v: old ^ v),
    "atomicAdd_block": ("unsigned long long", lambda old, v: old + v),
    "atomicMax_system": ("long long", max),
    "atomicMin_block": ("unsigned long long", min),
}
_TYPES = {"int": np.int32, "unsigned": np.uint32, "long long": np.int64, "unsigned long long": np.uint64}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", ATOMICS)
def test_integer_atomics(lab, workers, name, count):
    workers(count)
    ctype, function = ATOMICS[name]
    source = f"""
    extern "C" __global__ void k({ctype}* total, const {ctype}* x) {{
      {name}(total, x[blockIdx.x * blockDim.x + threadIdx.x]);
    }}"""
    x = np.random.default_rng(3).integers(1, 1000, 64 * 256).astype(_TYPES[ctype])
    total = np.full(1, 777, x.dtype)
    lab.run(source, 64, 256, total, x)
    expected = 777
    for value in x:
        expected = function(expected, int(value))
    assert int(total[0]) == expected


@pytest.mark.parametrize("count", [1, 2])
def test_other_atomics(lab, workers, count):
    workers(count)
    source = """
    extern "C" __global__ void k(unsigned* u, double* d, float* f, unsigned* seen) {
      unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
      atomicInc(&u[0], 99u);
      atomicDec(&u[1], 49u);
      unsigned old = u[2], assumed;
      do { assumed = old; old = atomicCAS(&u[2], assumed, assumed + 3); } while (old != assumed);
      atomicAdd(d, 0.5);
      atomicAdd(f, 1.f);
      seen[i] = atomicExch(&u[3], i + 1);
    }"""
    n = 64 * 250
    u, d, f, seen = np.zeros(4, np.uint32), np.zeros(1), np.zeros(1, np.float32), np.zeros(n, np.uint32)
    lab.run(source, 64, 250, u, d, f, seen)
    assert list(u[:3]) == [n % 100, 0, 3 * n]
    assert (d[0], f[0]) == (n / 2, n)
    assert sorted([*seen, u[3]]) == list(range(n + 1))


def test_vector_types_and_hinted_accesses(lab):
    source = """
    extern "C" __global__ void k(const float4* x, float4* y, uchar4* c, longlong2* w, double3 d, float* z) {
      int i = threadIdx.x;
      float4 v = __ldg(&x[i]);
      __stcs(&y[i], make_float4(v.w, v.z, v.y, v.x));
      c[i] = make_uchar4(i, i + 1, i + 2, i + 3);
      w[i].x = sizeof(float3) + 100 * sizeof(short2) + 10000 * sizeof(double4); w[i].y = __ldcg(&w[i].y) + i;
      __stwt(&z[i], d.x + d.y * d.z);
      __threadfence(); __threadfence_block(); __threadfence_system(); __nanosleep(100);
      long long begin = clock64();
      if (clock64() <= begin) z[i] = NAN;
    }"""
    x = np.random.default_rng(4).random((8, 4), np.float32)
    y, c, w, z = np.zeros_like(x), np.zeros((8, 4), np.uint8), np.ones((8, 2), np.int64), np.zeros(8, np.float32)
    d = np.array((1.0, 2.0, 3.0), np.dtype("f8,f8,f8"))[()]
    lab.run(source, 1, 8, x, y, c, w, d, z)
    assert (y == x[:, ::-1]).all()
    assert (c == np.arange(8)[:, None] + np.arange(4)).all()
    assert (w[:, 0] == 12 + 400 + 320000).all() and (w[:, 1] == 1 + np.arange(8)).all()
    assert (z == 7).all()


def test_printf(lab, capfd):
    lab.run(
        '#include <stdio.h>\nextern "C" __global__ void k(int n) { if (threadIdx.x == 1) printf("n is %d\\n", n); }',
        1,
        2,
        np.int32(42),
    )
    assert capfd.readouterr().out == "n is 42\n"


def test_conditional_handles(lab):
    source = """
    extern "C" __global__ void k(cudaGraphConditionalHandle handle) {
      if (threadIdx.x == 0) cudaGraphSetConditional(handle, 5);
    }"""
    flag = np.zeros(1, np.uint32)
    lab.run(source, 1, 32, np.uint64(flag.ctypes.data))
    assert flag[0] == 5
