"""Device, pinned and pooled memory."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

import numpy as np
import pytest


def test_fresh_memory_is_poison(bench: Any, cu: Any) -> None:
    address = cu.cuMemAlloc(16)
    assert (bench.read(int(address), 16, np.uint8) == 0xFF).all()
    cu.cuMemFree(address)


@pytest.mark.parametrize("count", [1, 3, 1000])
def test_a_round_trip(bench: Any, count: int) -> None:
    values = np.arange(count, dtype=np.float32)
    np.testing.assert_array_equal(bench.read(bench.device(values), count), values)


def test_free_of_a_stranger_or_twice_is_refused(cu: Any) -> None:
    address = cu.cuMemAlloc(64)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuMemFree(int(address) + 16)
    cu.cuMemFree(address)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuMemFree(address)


def test_a_copy_beyond_the_allocation_is_refused(bench: Any, cu: Any) -> None:
    address, data = bench.device([1, 2]), np.zeros(3, np.float32)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuMemcpyHtoD(address, data.ctypes.data, data.nbytes)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuMemsetD32Async(address, 0, 3, bench.stream)


def test_the_limit_makes_allocations_fail(cu: Any, emulation: Any) -> None:
    emulation.set_memory_limit(1 << 20)
    try:
        first = cu.cuMemAlloc(1 << 19)
        assert cu.cuMemGetInfo() == (1 << 19, 1 << 20)
        with pytest.raises(RuntimeError, match="OUT_OF_MEMORY"):
            cu.cuMemAlloc((1 << 19) + 1)
        cu.cuMemFree(first)
    finally:
        emulation.set_memory_limit(8 << 30)


def test_a_write_past_the_end_is_noticed_when_the_memory_is_freed(bench: Any, cu: Any, emulation: Any) -> None:
    address = int(cu.cuMemAlloc(4 * 31))
    bench.launch(bench.scale(address, 32, 2.0))  # one element more than there is
    bench.finish()
    with pytest.raises(RuntimeError, match="ILLEGAL_ADDRESS"):
        cu.cuMemFree(address)
    assert "past the end" in emulation.message


def test_stream_ordered_memory_is_usable_in_stream_order_only(bench: Any, cu: Any, emulation: Any) -> None:
    address = int(cu.cuMemAllocAsync(4, bench.stream))
    cu.cuMemsetD32Async(address, 7, 1, bench.stream)
    bench.finish()
    assert bench.read(address, 1, np.int32)[0] == 7
    cu.cuMemFreeAsync(address, bench.stream)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuMemFreeAsync(address, bench.stream)
    bench.finish()
    late = int(cu.cuMemAllocAsync(4, bench.stream))
    other = bench.new_stream()
    cu.cuMemsetD32Async(late, 7, 1, other)  # not ordered after the allocation
    with pytest.raises(RuntimeError, match="ILLEGAL_ADDRESS"):
        cu.cuStreamSynchronize(other)
    emulation.reset()
    bench.finish()
    cu.cuMemFreeAsync(late, bench.stream)
    bench.finish()


def test_pools_count_what_they_gave(bench: Any, cu: Any) -> None:
    properties = cu.CUmemPoolProps()
    properties.allocType = cu.raw.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    properties.location.type = cu.raw.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    pool = cu.cuMemPoolCreate(properties)
    used = cu.raw.CUmemPool_attribute.CU_MEMPOOL_ATTR_USED_MEM_CURRENT
    address = cu.cuMemAllocFromPoolAsync(1000, pool, bench.stream)
    assert int(cu.cuMemPoolGetAttribute(pool, used)) == 1000
    cu.cuMemFreeAsync(address, bench.stream)
    bench.finish()
    assert int(cu.cuMemPoolGetAttribute(pool, used)) == 0
    cu.cuMemPoolDestroy(pool)


def test_pointer_attributes(bench: Any, cu: Any) -> None:
    names = cu.raw.CUpointer_attribute
    address = bench.device(np.zeros(8))
    pinned = bench.pinned(8)
    assert int(cu.cuPointerGetAttribute(names.CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address + 4)) == 2
    assert int(cu.cuPointerGetAttribute(names.CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pinned.ctypes.data)) == 1
    assert int(cu.cuPointerGetAttribute(names.CU_POINTER_ATTRIBUTE_RANGE_SIZE, address)) == 32
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuPointerGetAttribute(names.CU_POINTER_ATTRIBUTE_MEMORY_TYPE, np.zeros(8).ctypes.data)


def test_the_host_cannot_touch_device_memory(bench: Any) -> None:
    """As on a real machine; kernels and copies reach it. The kernel of the system says so without a crash."""
    address, libc = bench.device([1.0]), ctypes.CDLL(None, use_errno=True)
    reader, writer = os.pipe()
    assert libc.write(writer, ctypes.c_void_p(address), ctypes.c_size_t(4)) == -1
    assert ctypes.get_errno() == errno.EFAULT
    os.close(reader)
    os.close(writer)


def test_managed_memory_is_open_to_both(bench: Any, cu: Any) -> None:
    address = int(cu.cuMemAllocManaged(4, cu.raw.CUmemAttach_flags.CU_MEM_ATTACH_GLOBAL))
    values = np.frombuffer((ctypes.c_char * 4).from_address(address), np.float32)
    values[0] = 3
    bench.launch(bench.scale(address, 1, 2.0))
    bench.finish()
    assert values[0] == 6
    cu.cuMemFree(address)


def test_two_and_three_dimensional_copies(bench: Any, cu: Any) -> None:
    source = bench.device(np.arange(24))
    target = bench.device(np.zeros(8))
    p = bench.copy_params(source, target, 8)
    p.srcXInBytes, p.srcY, p.srcZ, p.srcPitch, p.srcHeight = 4, 1, 0, 16, 3  # a 2 x 3 x 4 array
    p.dstPitch, p.dstHeight = 8, 2
    p.Height, p.Depth = 2, 2
    cu.cuMemcpy3D(p)
    block = np.arange(24).reshape(2, 3, 4)[:, 1:3, 1:3]
    np.testing.assert_array_equal(bench.read(target, 8).reshape(2, 2, 2), block)
