"""The same tests on every device that can compute: the CPU, an emulated CUDA driver, a real GPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from devices_under_test import open_device

import cudagraph as cg


def _devices() -> list[Any]:
    chosen = os.environ.get("CUDAGRAPH_TEST_DEVICE")
    if chosen:
        return [chosen]
    return ["host", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=_devices())
def device(request: pytest.FixtureRequest) -> str:
    """Name of the device under test."""
    return request.param


@pytest.fixture
def make_engine(device: str) -> Iterator[Callable[..., cg.CudaEngine]]:
    """Makes engines on the device under test, and closes them."""
    engines: list[cg.CudaEngine] = []

    def make(**options: Any) -> cg.CudaEngine:
        engines.append(cg.CudaEngine(open_device(device), **options))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def engine(make_engine: Callable[..., cg.CudaEngine]) -> cg.CudaEngine:
    """One engine on the device under test."""
    return make_engine()
