"""The devices that blocks are tested on: the CPU and a GPU, or the cuda device on the emulated driver."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from devices_under_test import EMULATED, missing_cudnn, missing_gpu, open_device

import cudagraph as cg

DEVICES = ["emulated"] if EMULATED else ["host", pytest.param("cuda", marks=pytest.mark.gpu)]
collect_ignore = ["test_wheels.py"] if EMULATED else []


RECORDED = pytest.StashKey[dict[str, dict[str, float]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-errors", metavar="FILE", help="write the largest error of each block by dtype as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RECORDED] = {}


def pytest_sessionfinish(session: pytest.Session) -> None:
    file, recorded = session.config.getoption("--record-errors", None), session.config.stash[RECORDED]
    if file and recorded:
        rows = [f"  {json.dumps(name)}: {json.dumps(errors)}" for name, errors in sorted(recorded.items())]
        Path(file).write_text("{\n" + ",\n".join(rows) + "\n}\n")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On the emulated driver, only what runs on it: the other tests have run on the host."""
    if EMULATED:
        here = [item for item in items if "device" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=[item for item in items if item not in here])
        items[:] = here


@pytest.fixture
def record_error(request: pytest.FixtureRequest) -> Callable[[str, str, float], None]:
    """Remembers an error of a block in a dtype, to be written when the tests end."""
    recorded = request.config.stash[RECORDED]

    def record(name: str, dtype: str, error: float) -> None:
        errors = recorded.setdefault(name, {})
        errors[dtype] = max(float(f"{error:.2g}"), errors.get(dtype, 0.0))

    return record


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """Name of the device under test."""
    if request.param == "cuda" and missing_gpu():
        pytest.skip(f"{missing_gpu()}")
    if request.param == "cuda" and "cudnn" in request.node.name.lower() and missing_cudnn():
        pytest.skip("no cuDNN")
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
