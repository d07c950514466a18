"""NVRTC: real compilation for every architecture, without a driver."""

from __future__ import annotations

import pytest

from cudagraph.engine.devices.cuda.binary import cubin_architecture
from cudagraph.engine.devices.cuda.compiler import NvrtcCompiler, compile_with_facts
from cudagraph.engine.devices.cuda.log import parse_facts, readable_log
from cudagraph.engine.devices.define import definitions, headers
from cudagraph.errors import CompileError
from cudagraph.program import Language

ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "sm_120")

TILE = """#include <stdint.h>
#include <math.h>
extern "C" __global__ void tile(const T* x, float* y, uint32_t n, size_t pitch)
{
    __shared__ float s[WIDTH];
    constexpr float lowest = -INFINITY;
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    s[threadIdx.x % WIDTH] = i < n ? float(x[i]) : lowest;
    __syncthreads();
    if (i < n) y[i] = fmaxf(s[WIDTH - 1 - threadIdx.x % WIDTH], pitch ? FLT_MAX : NAN) + INT_MAX;
}
"""
PTX = """.version 7.0
.target sm_80
.address_size 64
.visible .entry idle() { ret; }
"""


@pytest.fixture
def nvrtc() -> None:
    """Real NVRTC, from the CUDA wheels."""
    pytest.importorskip("cuda.bindings.nvrtc", reason="no CUDA wheels in this interpreter")


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["float", "__half", "__nv_bfloat16", "unsigned char"])
def test_every_architecture_and_type_compiles_to_a_cubin_with_facts(nvrtc, program, arch, dtype):
    cubin, facts = compile_with_facts(program(TILE, "tile", define=(("T", dtype), ("WIDTH", "64"))), arch)
    assert f"sm_{cubin_architecture(cubin)}" == arch
    assert 0 < facts.registers < 64 and facts.shared_bytes == 256 and facts.local_bytes == 0
    assert facts.max_threads == 1024


def test_the_key_tells_architectures_and_programs_apart(nvrtc, program):
    one = program(TILE, "tile", define=(("T", "float"), ("WIDTH", "64")))
    other = program(TILE, "tile", define=(("T", "float"), ("WIDTH", "32")))
    keys = {NvrtcCompiler(arch).key(p) for arch in ("sm_80", "sm_90") for p in (one, other)}
    assert len(keys) == 4 and NvrtcCompiler("sm_80").key(one) in keys


def test_errors_name_the_users_own_file_and_line(nvrtc, program):
    text = '#line 40 "blocks/mine.cu"\nextern "C" __global__ void f(int n)\n{ int unused; n = missing; }'
    with pytest.raises(CompileError, match="does not compile for sm_90") as caught:
        compile_with_facts(program(text, "f"), "sm_90")
    assert 'blocks/mine.cu(41): error: identifier "missing" is undefined' in caught.value.log
    assert caught.value.origin == "f.cu"
    assert "Remark" not in caught.value.log and "detected in the compilation" not in caught.value.log


def test_unknown_architectures_entries_and_assembly_are_explained(nvrtc, program):
    text = 'extern "C" __global__ void f(int n) {}'
    with pytest.raises(CompileError, match=r"cannot compile for sm_35; it knows .*sm_90"):
        compile_with_facts(program(text, "f"), "sm_35")
    with pytest.raises(CompileError, match="has no kernel named 'g'"):
        compile_with_facts(program(text, "g"), "sm_90")
    with pytest.raises(CompileError, match="error in inline assembly: Not a name of any known instruction: 'foo'"):
        compile_with_facts(program('extern "C" __global__ void f() { asm("foo.bar;"); }', "f"), "sm_90")


def test_compiling_in_several_threads_gives_the_same_cubins(nvrtc, program):
    from concurrent.futures import ThreadPoolExecutor

    programs = [program(TILE, "tile", define=(("T", "float"), ("WIDTH", str(width)))) for width in (32, 64, 128, 256)]
    compiler = NvrtcCompiler("sm_90")
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(compiler.compile, programs))
    assert together == [compiler.compile(p) for p in programs]


def test_a_type_is_an_alias_unless_the_text_tests_for_it():
    define = (("T", "__half"), ("N", "4"), ("V", "float4"))
    assert headers(define) == "#include <cuda_fp16.h>\n"
    assert definitions(define, "") == "using T = __half;\n#define N 4\nusing V = float4;\n"
    assert "#define T __half" in definitions(define, "#ifndef T\n#define T float\n#endif")
    assert "#define T __half" in definitions(define, "#if !defined(T)\n#endif")


def test_a_template_parameter_may_be_called_like_a_define(nvrtc, program):
    text = """#include <cuda_fp16.h>
template <typename T> __device__ T twice(T x) { return x + x; }
extern "C" __global__ void f(T* y) { y[0] = twice(y[0]); }"""
    assert compile_with_facts(program(text, "f", define=(("T", "double"),)), "sm_90")[0]


def test_ptx_passes_through_when_the_architecture_can_load_it(program):
    given = program(PTX, "idle", Language.PTX)
    assert NvrtcCompiler("sm_90").compile(given) == PTX.encode()
    with pytest.raises(CompileError, match="is for sm_80, which sm_75 cannot run"):
        NvrtcCompiler("sm_75").compile(given)
    with pytest.raises(CompileError, match="no entry 'other'; its entries are: idle"):
        NvrtcCompiler("sm_90").compile(program(PTX, "other", Language.PTX))
    with pytest.raises(CompileError, match="this is not PTX"):
        NvrtcCompiler("sm_90").compile(program("hello", "idle", Language.PTX))
    with pytest.raises(CompileError, match="is for sm_90a, which sm_100 cannot run"):
        NvrtcCompiler("sm_100").compile(program(PTX.replace("sm_80", "sm_90a"), "idle", Language.PTX))


def test_a_cubin_passes_through_within_its_generation(nvrtc, program):
    cubin, _ = compile_with_facts(program('extern "C" __global__ void f(int n) {}', "f"), "sm_80")
    given = program(cubin, "f", Language.CUBIN)
    assert NvrtcCompiler("sm_86").compile(given) == cubin
    with pytest.raises(CompileError, match="is for sm_80, which sm_90 cannot run"):
        NvrtcCompiler("sm_90").compile(given)
    with pytest.raises(CompileError, match="no kernel named 'g'"):
        NvrtcCompiler("sm_80").compile(program(cubin, "g", Language.CUBIN))
    with pytest.raises(CompileError, match="this is not a cubin"):
        NvrtcCompiler("sm_80").compile(program(b"\x7fELF" + bytes(100), "f", Language.CUBIN))


LOG = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'other' for 'sm_90'
ptxas info    : Used 10 registers, used 0 barriers
ptxas info    : Compiling entry function 'k' for 'sm_90'
ptxas info    : Function properties for k
ptxas         .     800 bytes stack frame, 16 bytes spill stores, 24 bytes spill loads
ptxas info    : Used 129 registers, used 1 barriers, 800 bytes cumulative stack size, 400 bytes smem
"""


def test_facts_are_read_for_the_right_entry():
    facts = parse_facts(LOG, "k")
    assert (facts.registers, facts.shared_bytes, facts.local_bytes, facts.max_threads) == (129, 400, 800, 480)
    assert parse_facts(LOG, "other").registers == 10
    assert readable_log(LOG, "k.cu") == ""
