"""The devices that blocks are tested on: the CPU and a GPU, or the cuda device on the emulated driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from devices_under_test import EMULATED, missing_gpu, open_device

import cudagraph as cg

DEVICES = ["emulated"] if EMULATED else ["host", pytest.param("cuda", marks=pytest.mark.gpu)]
collect_ignore = ["test_wheels.py"] if EMULATED else []


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """Name of the device under test."""
    if request.param == "cuda" and missing_gpu():
        pytest.skip(f"{missing_gpu()}")
    return request.param


@pytest.fixture
def make_engine(device: str) -> Iterator[Callable[..., cg.CudaEngine]]:
    """Makes engines on that device. Whatever a block does not write is NaN there, or at least 0xFF."""
    with ExitStack() as opened:

        def make(**settings: Any) -> cg.CudaEngine:
            environment = replace(cg.Environment.from_environ(), **{"poison": True, **settings})
            return opened.enter_context(cg.CudaEngine(open_device(device), environment=environment))

        yield make


@pytest.fixture
def engine(make_engine: Callable[..., cg.CudaEngine]) -> cg.CudaEngine:
    """One such engine."""
    return make_engine()
