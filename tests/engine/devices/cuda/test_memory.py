"""Allocation, transfers and freeing."""

from __future__ import annotations

import numpy as np
import pytest

from cudagraph.errors import DeviceError

N = 1000


def test_memory_is_aligned_and_round_trips(device):
    addresses = [device.allocate(nbytes) for nbytes in (0, 1, 100, 5000)]
    assert len(set(addresses)) == 4 and all(address % 256 == 0 for address in addresses)
    data = np.random.default_rng(0).random(625)
    device.upload(addresses[3], data)
    out = np.empty_like(data)
    device.download(addresses[3], out)
    np.testing.assert_array_equal(out, data)
    device.fill(addresses[2], 100, 0x1FF)
    out = np.empty(100, np.uint8)
    device.download(addresses[2], out)
    assert (out == 0xFF).all()


@pytest.mark.parametrize("nbytes", [1, 64 * 1024, 64 * 1024 + 1, 20 << 20])
def test_an_uploaded_array_may_change_at_once(device, nbytes):
    address, other = device.allocate(nbytes), device.allocate(nbytes)
    data = np.random.default_rng(1).integers(0, 256, nbytes, np.uint8)
    expected = data.copy()
    device.upload(address, data)
    data[:] = 0
    for _ in range(3):
        device.upload(other, data)
    out = np.empty_like(data)
    device.download(address, out)
    np.testing.assert_array_equal(out, expected)


def test_structured_and_zero_sized_arrays_travel(device):
    dtype = np.dtype([("position", "f4", 3), ("age", "u2")])
    data = np.zeros(10, dtype)
    data["age"] = np.arange(10)
    address = device.allocate(data.nbytes)
    device.upload(address, data)
    out = np.zeros(10, dtype)
    device.download(address, out)
    np.testing.assert_array_equal(out, data)
    device.upload(address, np.empty(0))
    device.download(address, np.empty(0))
    device.upload(address, np.array(3.0))


def test_uploads_between_frames_are_in_stream_order(make, sources):
    x, y = make.buffer(N), make.buffer(N)
    make.kernel(sources["axpy"], make.hot(np.float32), x, y, np.int32(N), elements=N)
    executable = make.build()
    executable.set_scalar(0, 0, np.float32(1).tobytes())
    for frame in range(20):
        make.write(x, frame)
        executable.launch(frame)
    np.testing.assert_array_equal(make.read(y), np.full(N, sum(range(20))))


def test_memory_freed_under_a_running_frame_stays_until_it_is_done(make, sources, device):
    x, y = make.buffer(N), make.buffer(N)
    make.kernel(sources["scale"], x, y, np.float32(2), np.int32(N), elements=N)
    make.write(x, 4)
    executable = make.build()
    executable.launch(0)
    device.free(make.addresses[x])
    again = device.allocate(4 * N)
    device.fill(again, 4 * N, 0xFF)
    executable.wait()
    np.testing.assert_array_equal(make.read(y), np.full(N, 8))


def test_wrong_uses_are_refused(device):
    address = device.allocate(16)
    device.free(address)
    with pytest.raises(DeviceError, match="was freed before"):
        device.free(address)
    with pytest.raises(DeviceError, match="C-contiguous"):
        device.upload(address, np.zeros((4, 4))[:, ::2])
    read_only = np.zeros(4)
    read_only.flags.writeable = False
    with pytest.raises(DeviceError, match="cannot be written"):
        device.download(address, read_only)


def test_memory_that_only_waits_for_a_frame_is_used_before_giving_up(make, sources, device, emulation):
    if emulation is None:
        pytest.skip("no driver with a limit on its memory")
    big = 1 << 20
    x = make.buffer(big, np.uint8)
    make.fill(x, 1)
    executable = make.build()
    executable.launch(0)
    emulation.set_memory_limit(sum(device._memory.live.values()) + big // 2)
    try:
        device.free(make.addresses[x])
        assert device.allocate(big)
        with pytest.raises(DeviceError, match=r"MiB of GPU memory cannot be allocated"):
            device.allocate(big)
    finally:
        emulation.set_memory_limit(8 << 30)


def test_running_out_of_memory_names_the_sizes(device):
    with pytest.raises(DeviceError, match=r"MiB of GPU memory cannot be allocated: [\d.]+ MiB of [\d.]+ MiB are free"):
        device.allocate(1 << 50)
