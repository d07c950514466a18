"""Arrays of other libraries, and ours for them."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from cudagraph.engine.devices.cuda.arrays import DeviceArray
from cudagraph.engine.devices.cuda.dlpack import is_c_contiguous, make_capsule, read_capsule


def test_a_capsule_is_read_without_being_consumed():
    array = np.arange(12, dtype=np.int16).reshape(3, 4)
    view = read_capsule(array.T.__dlpack__())
    assert view is not None
    assert (view.address, view.shape, view.strides) == (array.ctypes.data, (4, 3), (1, 4))
    assert view.dtype == np.int16 and view.device == (1, 0)


class Exported:
    """Host memory offered through our capsules, so that NumPy can play the consumer."""

    def __init__(self) -> None:
        self.memory = np.arange(6, dtype=np.float32)

    def __dlpack__(self, **options):
        return make_capsule(self.memory.ctypes.data, (2, 3), self.memory.dtype, (1, 0), self)

    def __dlpack_device__(self):
        return 1, 0


def test_a_capsule_keeps_its_owner_until_its_consumer_is_gone():
    owner = Exported()
    alive = weakref.ref(owner)
    array = np.from_dlpack(owner)
    del owner
    gc.collect()
    np.testing.assert_array_equal(array, [[0, 1, 2], [3, 4, 5]])
    assert alive() is not None
    del array
    gc.collect()
    assert alive() is None


def test_a_capsule_that_nobody_takes_lets_its_owner_go():
    owner = Exported()
    alive = weakref.ref(owner)
    capsule = owner.__dlpack__()
    del owner
    assert alive() is not None
    del capsule
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize(
    ("shape", "strides", "dense"),
    [
        ((2, 3), (3, 1), True),
        ((2, 3), (1, 2), False),
        ((1, 3), (99, 1), True),
        ((0, 3), (7, 7), True),
        ((4,), (2,), False),
        ((), (), True),
    ],
)
def test_dense_arrays_are_told_from_others(shape, strides, dense):
    assert is_c_contiguous(shape, strides) is dense


class Interface:
    """Somebody's array."""

    def __init__(self, address, shape, typestr="<f4", strides=None, stream=None):
        self.__cuda_array_interface__ = {
            "data": (address, False),
            "shape": shape,
            "typestr": typestr,
            "strides": strides,
            "version": 3,
            "stream": stream,
        }


def test_dense_arrays_of_this_gpu_are_borrowed_and_others_are_not(device):
    address = device.allocate(400)
    assert device.borrow(Interface(address, (10, 10))) == (address, (10, 10), np.float32)
    assert device.borrow(Interface(address, (10, 10), strides=(40, 4), stream=device.stream)) is not None
    assert device.borrow(Interface(address, (10, 5), strides=(40, 4))) is None
    assert device.borrow(np.zeros(3)) is None and device.borrow([1.0]) is None
    host = np.zeros(8, np.float32)
    assert device.borrow(Interface(host.ctypes.data, (8,))) is None


def test_our_arrays_speak_both_protocols(device):
    address = device.allocate(64)
    device.upload(address, np.arange(16, dtype=np.float32))
    view = device.view(address, (4, 4), np.dtype(np.float32), device)
    assert view.__cuda_array_interface__["data"] == (address, False) and view.shape == (4, 4)
    assert device.borrow(view) == (address, (4, 4), np.float32)


def test_readers_wait_for_writers(device, driver):
    address = device.allocate(64)
    view = DeviceArray(device._context, device.stream, address, (16,), np.dtype(np.float32))
    driver.take("cuStream")
    view.__dlpack__(stream=device.stream)
    assert driver.take("cuStream") == ["cuStreamWaitEvent"]
    view.__dlpack__(stream=-1)
    view.__dlpack__()
    assert driver.take("cuStream") == []
    device.borrow(Interface(address, (16,), stream=device.stream))
    assert driver.take("cuStream") == ["cuStreamSynchronize"]


def test_bfloat16_goes_through_dlpack(device):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    address = device.allocate(64)
    view = DeviceArray(device._context, device.stream, address, (4, 8), np.dtype(ml_dtypes.bfloat16))
    assert not hasattr(view, "__cuda_array_interface__")
    borrowed = device.borrow(view)
    assert borrowed == (address, (4, 8), np.dtype(ml_dtypes.bfloat16))
