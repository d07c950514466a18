"""Half and bfloat16, bit for bit against NumPy and ml_dtypes."""

import ml_dtypes
import numpy as np
import pytest

NAMES = {  # type, pair, NumPy's type, header, from float, to float, pair to float2, pair from floats
    "half": (
        "__half", "__half2", np.float16, "cuda_fp16.h", "__float2half", "__half2float", "__half22float2",
        "__floats2half2_rn",
    ),
    "bfloat16": (
        "__nv_bfloat16", "__nv_bfloat162", ml_dtypes.bfloat16, "cuda_bf16.h", "__float2bfloat16", "__bfloat162float",
        "__bfloat1622float2", "__floats2bfloat162_rn",
    ),
}  # fmt: skip


def _expected(function, *arrays):
    """Computed in float32, rounded once."""
    with np.errstate(all="ignore"):
        return function(*(array.astype(np.float32) for array in arrays)).astype(arrays[0].dtype)


def _same_bits(given, expected):
    nan = np.isnan(expected.astype(np.float32))
    assert (np.isnan(given.astype(np.float32)) == nan).all()
    np.testing.assert_array_equal(given.view(np.uint16)[~nan], expected.view(np.uint16)[~nan])


@pytest.mark.parametrize("settings", [{}, {"cxx": "c++ -DCG_SOFTWARE_HALF"}], ids=["compiler", "software"])
@pytest.mark.parametrize("name", NAMES)
def test_conversions_of_every_value(lab, name, settings):
    ctype, _, dtype, header, narrow, wide, *_ = NAMES[name]
    source = f"""
    #include <{header}>
    extern "C" __global__ void k(int n, const {ctype}* x, float* y, const float* f, {ctype}* h) {{
      int i = blockIdx.x * blockDim.x + threadIdx.x;
      if (i < 65536) y[i] = {wide}(x[i]);
      if (i < n) h[i] = {narrow}(f[i]);
    }}"""
    every = np.arange(65536).astype(np.uint16).view(dtype)
    finite = every.astype(np.float32)[np.isfinite(every.astype(np.float32))]
    ordered = np.unique(finite)
    middles = (ordered[1:].astype(np.float64) + ordered[:-1]).astype(np.float64) / 2
    bits = np.random.default_rng(1).integers(0, 1 << 32, 200_000, dtype=np.uint32).view(np.float32)
    near = [np.nextafter(middles.astype(np.float32), np.float32(side)) for side in (-np.inf, np.inf)]
    given = np.concatenate(
        [middles.astype(np.float32), *near, bits, np.float32([65504, 65519.996, 65520, np.inf, -np.inf, np.nan])]
    )
    y, h = np.zeros(65536, np.float32), np.zeros(len(given), dtype)
    lab.run(source, (len(given) + 255) // 256, 256, np.int32(len(given)), every, y, given, h, **settings)
    expected = every.astype(np.float32)
    nan = np.isnan(expected)
    np.testing.assert_array_equal(y[~nan], expected[~nan])
    assert np.isnan(y[nan]).all()
    with np.errstate(all="ignore"):
        _same_bits(h, given.astype(dtype))


@pytest.mark.parametrize("name", NAMES)
def test_arithmetic(lab, name):
    ctype, pair, dtype, header, _, _, to_float2, from_floats = NAMES[name]
    source = f"""
    #include <{header}>
    extern "C" __global__ void k(int n, const {ctype}* x, const {ctype}* z, {ctype}* y, {pair}* p) {{
      int i = blockIdx.x * blockDim.x + threadIdx.x;
      {ctype} a = x[i], b = z[i];
      y[0 * n + i] = a + b; y[1 * n + i] = __hsub(a, b); y[2 * n + i] = a * b; y[3 * n + i] = __hdiv(a, b);
      y[4 * n + i] = __hmax(a, b); y[5 * n + i] = min(a, b); y[6 * n + i] = hsqrt(__habs(a)); y[7 * n + i] = -a;
      y[8 * n + i] = __hlt(a, b) ? a : b; y[9 * n + i] = (a == b) || __hisnan(a) ? {ctype}(1.f) : {ctype}(2);
      a += b; a *= {ctype}(3.0f); y[10 * n + i] = a;
      {pair} v = __hmul2({pair}(x[i], z[i]), {from_floats}(2.f, -4.f));
      float2 f = {to_float2}(__hadd2(v, v));
      p[i] = {from_floats}(f.y, f.x);
    }}"""
    rng = np.random.default_rng(2)
    a, b = (rng.integers(0, 65536, 4096).astype(np.uint16).view(dtype) for _ in range(2))
    b[:100] = a[:100]
    y, p = np.zeros((11, 4096), dtype), np.zeros((4096, 2), dtype)
    lab.run(source, 16, 256, np.int32(4096), a, b, y, p)
    expected = [
        _expected(np.add, a, b),
        _expected(np.subtract, a, b),
        _expected(np.multiply, a, b),
        _expected(np.divide, a, b),
        _expected(np.fmax, a, b),
        _expected(np.fmin, a, b),
        _expected(lambda v: np.sqrt(np.abs(v)), a),
        _expected(np.negative, a),
        np.where(a.astype(np.float32) < b.astype(np.float32), a, b).astype(dtype),
        np.where((a.astype(np.float32) == b.astype(np.float32)) | np.isnan(a.astype(np.float32)), 1, 2).astype(dtype),
        _expected(np.multiply, _expected(np.add, a, b), np.full(4096, 3, dtype)),
    ]
    for row, want in zip(y, expected, strict=True):
        zero = (row.astype(np.float32) == 0) & (want.astype(np.float32) == 0)  # max(+0, -0) may be either
        _same_bits(np.where(zero, np.zeros_like(row), row), np.where(zero, np.zeros_like(row), want))
    doubled = [
        _expected(lambda v: 2 * v, _expected(np.multiply, x, np.full(4096, c, dtype))) for x, c in ((a, 2), (b, -4))
    ]
    _same_bits(p[:, 1].copy(), doubled[0])
    _same_bits(p[:, 0].copy(), doubled[1])


@pytest.mark.parametrize("name", NAMES)
def test_atomics_shuffles_and_defines(lab, name):
    ctype, pair, dtype, *_ = NAMES[name]
    source = f"""
    extern "C" __global__ void k(T* total, {pair}* pairs, T* y) {{
      atomicAdd(total, T(1.f));
      atomicAdd(pairs, {pair}(T(1.f), T(2.f)));
      y[threadIdx.x] = __shfl_xor_sync(~0u, T((float)threadIdx.x), 1);
    }}"""
    total, pairs, y = np.zeros(1, dtype), np.zeros(2, dtype), np.zeros(64, dtype)
    lab.run(source, 1, 64, total, pairs, y, define={"T": ctype})
    assert (float(total[0]), *map(float, pairs)) == (64.0, 64.0, 128.0)
    assert (y.astype(int) == (np.arange(64) ^ 1)).all()
