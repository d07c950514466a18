"""Sticky errors, launch limits, injected faults, counted calls."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest


def test_a_kernel_on_freed_memory_is_a_sticky_error(bench: Any, cu: Any, emulation: Any) -> None:
    gone = int(cu.cuMemAlloc(16))
    cu.cuMemFree(gone)
    bench.launch(bench.scale(gone, 4, 2.0))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="ILLEGAL_ADDRESS"):
            bench.finish()
    with pytest.raises(RuntimeError, match="ILLEGAL_ADDRESS"):
        cu.cuMemAlloc(16)
    assert "kernel scale uses address" in emulation.message


def test_memory_freed_while_work_waits_is_noticed(bench: Any, cu: Any) -> None:
    y = int(cu.cuMemAllocAsync(4, bench.stream))
    bench.finish()
    other = bench.new_stream()
    cu.cuMemFreeAsync(y, other)
    bench.launch(bench.scale(y, 1, 2.0))
    cu.cuStreamSynchronize(other)
    with pytest.raises(RuntimeError, match="ILLEGAL_ADDRESS"):
        bench.finish()


@pytest.mark.parametrize(
    ("grid", "threads", "shared"), [(0, 32, 0), (1, 0, 0), (1, 1025, 0), (1, 32, (48 << 10) + 1), (1 << 31, 32, 0)]
)
def test_impossible_launches_are_refused(bench: Any, cu: Any, grid: int, threads: int, shared: int) -> None:
    params = bench.scale(bench.device([1.0]), 1, 2.0)
    params.gridDimX, params.blockDimX, params.sharedMemBytes = grid, threads, shared
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        bench.launch(params)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphAddKernelNode(bench.graph(), [], 0, params)


def test_more_shared_memory_must_be_asked_for(bench: Any, cu: Any) -> None:
    params = bench.scale(bench.device([1.0]), 1, 2.0)
    params.sharedMemBytes = 100 << 10
    key = cu.raw.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuFuncSetAttribute(params.func, key, 228 << 10)
    cu.cuFuncSetAttribute(params.func, key, 100 << 10)
    bench.launch(params)
    bench.finish()


def test_missing_arguments_are_refused(bench: Any, cu: Any) -> None:
    params = bench.scale(bench.device([1.0]), 1, 2.0)
    params.kernelParams = 0
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphAddKernelNode(bench.graph(), [], 0, params)


def test_images_of_other_machines_are_refused(cu: Any, image: bytes) -> None:
    cubin = bytearray(image)
    cubin[18:20] = (190).to_bytes(2, "little")
    for wrong, error in [(bytes(cubin), "NO_BINARY_FOR_GPU"), (b"\0" * 64, "INVALID_IMAGE")]:
        with pytest.raises(RuntimeError, match=error):
            cu.cuModuleLoadData(wrong)
    with pytest.raises(RuntimeError, match="UNSUPPORTED_PTX_VERSION"):
        cu.cuModuleLoadData(b"//\n.version 9.9\n.target sm_90\n" + b" " * 64 + b"\0")


def test_unknown_kernels_are_not_found(bench: Any) -> None:
    with pytest.raises(RuntimeError, match="NOT_FOUND"):
        bench.kernel("nothing")


def test_parameter_places_and_variables(bench: Any, cu: Any) -> None:
    saxpy = bench.kernel("saxpy")
    assert [cu.cuFuncGetParamInfo(saxpy, i) for i in range(4)] == [(0, 4), (4, 4), (8, 8), (16, 8)]
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuFuncGetParamInfo(saxpy, 4)
    address, nbytes = cu.cuModuleGetGlobal(bench.module, b"gain")
    assert nbytes == 16 and list((ctypes.c_float * 4).from_address(int(address))) == [1, 2, 3, 4]


def test_faults_hit_the_named_call_once(cu: Any, emulation: Any) -> None:
    emulation.fail("cuMemAlloc", 2, int(cu.raw.CUresult.CUDA_ERROR_OUT_OF_MEMORY))
    first = cu.cuMemAlloc(16)
    with pytest.raises(RuntimeError, match="OUT_OF_MEMORY"):
        cu.cuMemAlloc(16)
    third = cu.cuMemAlloc(16)
    cu.cuMemFree(first)
    cu.cuMemFree(third)


def test_calls_are_counted_by_name(cu: Any, emulation: Any) -> None:
    before = emulation.calls.get("cuMemAlloc", 0)
    cu.cuMemFree(cu.cuMemAlloc(16))
    cu.cuMemFree(cu.cuMemAlloc(16))
    assert emulation.calls["cuMemAlloc"] == before + 2


def test_handles_of_another_kind_or_dead_ones_are_refused(bench: Any, cu: Any) -> None:
    event = cu.cuEventCreate(0)
    cu.cuEventDestroy(event)
    with pytest.raises(RuntimeError, match="INVALID_HANDLE"):
        cu.cuEventRecord(event, bench.stream)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphLaunch(cu.raw.CUgraphExec(int(bench.stream)), bench.stream)


def test_error_names_and_texts_are_the_drivers(cu: Any) -> None:
    code = cu.raw.CUresult.CUDA_ERROR_ILLEGAL_ADDRESS
    assert cu.cuGetErrorName(code) == b"CUDA_ERROR_ILLEGAL_ADDRESS"
    assert cu.cuGetErrorString(code) == b"an illegal memory access was encountered"


def test_what_is_not_emulated_says_so(cu: Any, emulation: Any) -> None:
    with pytest.raises(RuntimeError, match="NOT_SUPPORTED"):
        cu.cuTexObjectDestroy(0)
    assert emulation.calls["cuTexObjectDestroy"] == 1


def test_nothing_works_without_a_context(cu: Any) -> None:
    current = cu.cuCtxGetCurrent()
    cu.cuCtxSetCurrent(cu.raw.CUcontext(0))
    with pytest.raises(RuntimeError, match="INVALID_CONTEXT"):
        cu.cuMemAlloc(16)
    cu.cuCtxSetCurrent(current)
