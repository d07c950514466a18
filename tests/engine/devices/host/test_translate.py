"""Rewriting CUDA C++: what changes, what is found, and that every line stays where it was."""

import re

import numpy as np
import pytest

from cudagraph.engine.devices.host.barriers import reach
from cudagraph.engine.devices.host.translate import translate
from cudagraph.errors import CompileError
from cudagraph.lexer import code_tokens
from cudagraph.program import Program


def _reach(before: str, body: str):
    source = f'{before} extern "C" __global__ void k(int* y) {{ {body}\n}}'
    return reach(list(code_tokens(source)), "k")


LOOPS = {  # what stands before the kernel, and the kernel's body
    "plain": ("", "y[threadIdx.x] = 1;"),
    "a comment and a string": ("", '/* __syncthreads() */ const char* s = "__syncthreads"; // __syncwarp()'),
    "an unused function": ("__device__ void f() { __syncthreads(); }", "y[0] = 1;"),
    "another kernel": ("__global__ void other() { __syncthreads(); }", "if (y) y[0] = 1;"),
    "an if elsewhere": ("__device__ void f(int a) { if (a) { __syncwarp(); } }", "if (y) { y[0] = 1; }"),
    "a fence": ("", "__threadfence(); __activemask();"),
    "a GPU's branch": ("", "\n#ifndef CUDAGRAPH_HOST\n__syncwarp();\n#else\ny[0] = 1;\n#endif"),
    "an architecture's branch": ("", "\n#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900\n__syncwarp();\n#endif"),
    "a branch in a branch": ("", "\n#ifdef __CUDA_ARCH__\n#if FAST\ny[0] = 1;\n#else\n__syncwarp();\n#endif\n#endif"),
}
BARRIERS = {
    "direct": ("", "__syncthreads();"),
    "through functions": ("__device__ void g() { __syncwarp(); } __device__ void f() { g(); }", "f();"),
    "through a macro": ("#define MEET() \\\n  __syncthreads()\n", "MEET();"),
    "through a method": (
        "struct Tile { __device__ void load() { __shfl_xor_sync(~0u, 1, 1); } };",
        "Tile t; t.load();",
    ),
    "through a destructor": ("struct Guard { __device__ ~Guard() { __syncthreads(); } };", "Guard g;"),
    "through a lambda": ("", "auto f = [] { return __ballot_sync(~0u, 1); }; y[0] = f();"),
    "through a global lambda": ("auto f = [](int i) { return __any_sync(~0u, i); };", "y[0] = f(1);"),
    "through a template": (
        "template <class T> __device__ T sum(T v) { return __reduce_add_sync(~0u, v); }",
        "y[0] = sum<int>(1);",
    ),
    "groups": ("#include <cooperative_groups.h>\n", "cooperative_groups::this_thread_block().sync();"),
    "the host's branch": ("", "\n#ifdef CUDAGRAPH_HOST\n__syncwarp();\n#else\ny[0] = 1;\n#endif"),
    "after a GPU's branch": ("", "\n#ifndef CUDAGRAPH_HOST\ny[0] = 1;\n#else\n__syncwarp();\n#endif"),
    "behind the branches": ("", "\n#ifdef __CUDA_ARCH__\ny[0] = 1;\n#endif\n__syncwarp();"),
    "a branch of another macro": ("", "\n#ifdef FAST\n__syncwarp();\n#endif"),
    "a branch that may be": ("", "\n#if defined(__CUDA_ARCH__) || FAST\n__syncwarp();\n#endif"),
    "asked for": ("#define CUDAGRAPH_FIBERS\n", "y[0] = 1;"),
}


@pytest.mark.parametrize("name", LOOPS)
def test_kernels_without_barriers(name):
    assert not _reach(*LOOPS[name]).barrier


@pytest.mark.parametrize("name", BARRIERS)
def test_kernels_with_barriers(name):
    assert _reach(*BARRIERS[name]).barrier


def test_recursion():
    assert _reach("__device__ int f(int n) { return n ? f(n - 1) : 0; }", "y[0] = f(3);").recursion
    mutual = "__device__ int g(int); __device__ int f(int n) { return g(n); } __device__ int g(int n) { return f(n); }"
    assert _reach(mutual, "y[0] = f(3);").recursion
    constructor = "struct V { float x; __device__ V(float x) : x(x) {} };"
    assert not _reach(constructor + " __device__ V add(V a, V b) { return V(a.x + b.x); }", "add(1, 2);").recursion


def test_lines_stay_where_they_were():
    source = """#include <cuda_fp16.h>

extern "C" __global__ void k(T* y) {
  extern
  __shared__ __align__(16)
  float s[];
  y[0] = s[0];
}
"""
    text = translate(Program(source, "k", 'a "b".cu', define=(("T", "float"),))).text
    body = text.partition('#line 1 "a \\"b\\".cu"\n')[2].splitlines()
    assert body[0] == "" and body[2].startswith('extern "C"') and body[6] == "  y[0] = s[0];"
    assert "float* s = cg_dynamic_shared<float>();" in text and "using T = float;" in text


def test_variables_are_listed():
    source = """
    __constant__ float table[4] = {1, 2, 3, 4};
    __device__ int counter;
    namespace inner { __device__ int hidden; }
    __device__ float function(float x);
    __device__ float other(float x) { return x; }
    extern "C" __global__ void k(int* y) { __shared__ int s[4]; y[0] = s[0]; }"""
    text = translate(Program(source, "k", "k.cu")).text
    assert re.findall(r"CG_VARIABLE_ENTRY\((\w+)\)", text) == ["table", "counter"]


UNSUPPORTED = {
    "inline PTX assembly": 'unsigned r; asm volatile("mov.u32 %0, %laneid;" : "=r"(r)); y[0] = r;',
    "tensor-core": "nvcuda::wmma::fragment<int> f;",
    "whole grid": "cooperative_groups::this_grid().sync();",
    "textures": "cudaTextureObject_t t = 0; y[0] = tex1Dfetch<int>(t, 0);",
    "launching kernels from kernels": "k<<<1, 1>>>(y);",
    "asynchronous copies": "cooperative_groups::memcpy_async(1, 2);",
}


@pytest.mark.parametrize("what", UNSUPPORTED)
def test_what_a_cpu_cannot_run_says_so(lab, what):
    source = f'extern "C" __global__ void k(int* y) {{\n  {UNSUPPORTED[what]}\n}}'
    with pytest.raises(CompileError) as caught:
        lab.run(source, 1, 1, np.zeros(1, np.int32))
    message = str(caught.value)
    assert message.startswith("kernel.cu:2: a CPU has no ") and what in message
    assert "#ifndef CUDAGRAPH_HOST" in message and "device='cuda'" in message
    guarded = source.replace("{\n", "{\n#ifndef CUDAGRAPH_HOST\n").replace("\n}", "\n#else\n  y[0] = 7;\n#endif\n}")
    y = np.zeros(1, np.int32)
    lab.run(guarded, 1, 1, y)
    assert y[0] == 7


@pytest.mark.parametrize(
    "header", ["mma.h", "cub/block/block_reduce.cuh", "cuda/barrier", "curand_kernel.h", "texture_fetch_functions.h"]
)
def test_headers_of_what_a_cpu_cannot_run(lab, header):
    source = f'#if 0\n#include <nonsense.h>\n#endif\n#include <{header}>\nextern "C" __global__ void k(int* y) {{}}'
    with pytest.raises(CompileError, match=r"^kernel\.cu:4: a CPU has no "):
        lab.run(source, 1, 1, np.zeros(1, np.int32))


def test_code_for_an_architecture_is_left_out(lab):
    source = """
    extern "C" __global__ void k(int* y) {
    #if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
      asm volatile("cp.async.wait_all;");
    #elif defined(CUDAGRAPH_HOST)
      asm volatile("" ::: "memory");
      y[0] = 3;
    #endif
    }"""
    y = np.zeros(1, np.int32)
    lab.run(source, 1, 1, y)
    assert y[0] == 3
