"""The current context: threads, several GPUs, and other users of the same one."""

from __future__ import annotations

import threading

import numpy as np
import pytest

N = 64


@pytest.fixture
def doubled(make, sources):
    x, y = make.buffer(N), make.buffer(N)
    make.kernel(sources["scale"], x, y, np.float32(2), np.int32(N), elements=N)
    make.write(x, 3)
    return make, make.build(), y


def test_frames_may_be_launched_from_any_thread(doubled):
    make, executable, y = doubled
    failures: list[BaseException] = []

    def work(frame: int) -> None:
        try:
            executable.launch(frame)
            executable.wait()
            assert [record.frame for record in executable.finished()] == [frame]
        except BaseException as error:
            failures.append(error)

    for frame in range(3):
        thread = threading.Thread(target=work, args=(frame,))
        thread.start()
        thread.join()
    assert not failures
    np.testing.assert_array_equal(make.read(y), np.full(N, 6))


def test_among_several_gpus_the_callers_context_is_left_as_it_was(doubled, device, driver, monkeypatch):
    make, executable, y = doubled
    monkeypatch.setattr(device._context, "_stays", False)
    device._context._thread.bound = False
    assert driver.cuCtxSetCurrent(0)[0] == 0
    executable.launch(0)
    executable.wait()
    assert len(executable.finished()) == 1
    np.testing.assert_array_equal(make.read(y), np.full(N, 6))
    assert int(driver.cuCtxGetCurrent()[1]) == 0


def test_a_failed_call_restores_the_callers_context_too(device, driver, monkeypatch):
    monkeypatch.setattr(device._context, "_stays", False)
    assert driver.cuCtxSetCurrent(0)[0] == 0
    with pytest.raises(Exception, match="was freed before"):
        device.free(12345)
    assert int(driver.cuCtxGetCurrent()[1]) == 0


def test_the_stream_is_offered_to_other_libraries(device):
    assert device.__cuda_stream__() == (0, device.stream) and device.stream


def test_the_description_names_the_gpu(device):
    assert device.name == "cuda" and f"(sm_{device.capability})" in device.description
