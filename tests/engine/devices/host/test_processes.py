"""Threads and processes: forks, launches at the same time, workers that come and go."""

import os
import threading

import numpy as np
import pytest

from cudagraph.errors import DeviceError

SUM = """
extern "C" __global__ void k(int n, const float* x, float* y) {
  __shared__ float s[128];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  s[threadIdx.x] = i < n ? x[i] : 0.f;
  __syncthreads();
  for (int step = 64; step; step >>= 1) {
    if (threadIdx.x < step) s[threadIdx.x] += s[threadIdx.x + step];
    __syncthreads();
  }
  if (threadIdx.x == 0) y[blockIdx.x] = s[0];
}"""
BLOCKS = 500


def _check(lab) -> bool:
    x, y = np.ones(BLOCKS * 128, np.float32), np.zeros(BLOCKS, np.float32)
    lab.run(SUM, BLOCKS, 128, np.int32(len(x)), x, y)
    return bool((y == 128).all())


def _threads() -> int | None:
    """How many threads this process has, where the system tells."""
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_workers_of_its_own(lab, workers):
    workers(3)
    assert _check(lab)
    child = os.fork()
    if child == 0:
        try:
            fine = _check(lab) and _check(lab)
            os._exit(0 if fine and _threads() in (None, 3) else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert _check(lab)


def test_launches_from_several_threads_at_once(lab, workers):
    workers(2)
    lab.kernel(lab.program(SUM))
    results: list[bool] = []
    threads = [threading.Thread(target=lambda: results.extend(_check(lab) for _ in range(20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 80


def test_faults_go_to_the_thread_that_launched(lab, workers):
    workers(2)
    source = 'extern "C" __global__ void k(int* y, int bad) { __syncthreads(); if (bad) __trap(); y[threadIdx.x] = 1; }'
    lab.kernel(lab.program(source))
    outcomes: list[tuple[int, bool]] = []

    def launch(bad: int) -> None:
        for _ in range(30):
            try:
                lab.run(source, 200, 32, np.zeros(32, np.int32), np.int32(bad))
                outcomes.append((bad, False))
            except DeviceError:
                outcomes.append((bad, True))

    threads = [threading.Thread(target=launch, args=(bad,)) for bad in (0, 1, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 90 and all(bool(bad) == failed for bad, failed in outcomes)


def test_the_number_of_workers_may_change(lab, workers):
    for count in (1, 4, 2, 7, 1):
        workers(count)
        assert _check(lab)


def test_short_lived_threads_give_their_memory_back(lab):
    def mappings() -> int:
        with open("/proc/self/maps") as maps:
            return sum(1 for _ in maps)

    if not os.path.exists("/proc/self/maps"):
        pytest.skip("this system does not list its mappings")

    def in_a_thread() -> None:
        thread = threading.Thread(target=_check, args=(lab,))
        thread.start()
        thread.join()

    for _ in range(3):
        in_a_thread()
    before = mappings()
    for _ in range(20):
        in_a_thread()
    assert mappings() < before + 20
