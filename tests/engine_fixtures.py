"""Engines on every device that can compute: the CPU, an emulated CUDA driver, a real GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from devices_under_test import EMULATED, missing_gpu, open_device

import cudagraph as cg

DEVICES = ["emulated"] if EMULATED else ["host", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """Name of the device under test."""
    if request.param == "cuda" and missing_gpu():
        pytest.skip(f"{missing_gpu()}")
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
