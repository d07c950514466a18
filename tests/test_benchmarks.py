"""The benchmarks run and check their own results; what they measure is printed by them, not asserted here."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def _load(repository: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, repository / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("step", ["launches", "hot_changes", "structure"])
def test_gpu_figures_of_chains(repository: Path, step: str) -> None:
    figures = getattr(_load(repository, "gpu_engine"), step)("host", 3)
    assert all(value > 0 for value in figures.values() if isinstance(value, float))


@pytest.mark.parametrize("step", ["gemm", "kernel_swap"])
def test_gpu_figures_of_live_changes(repository: Path, step: str) -> None:
    assert getattr(_load(repository, "gpu_engine"), step)("host")["rebuilds"] == 1


@pytest.mark.parametrize("device", ["host", "recording"])
def test_thousands_of_frames_with_random_changes_keep_one_plan(repository: Path, device: str) -> None:
    figures = _load(repository, "soak").soak(device, 2000)
    assert figures["rebuilds"] == 1
    assert figures["growth_kb"] < 4096  # a leak of one float array a frame would be more


def test_figures_of_models(repository: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    shape = {"n_layer": 1, "n_embd": 32, "n_head": 2, "vocab_size": 70, "bos_token_id": 0, "eos_token_id": 0}
    figures = _load(repository, "models").measure(1, **shape)
    assert all(seconds > 0 for pair in figures.values() for seconds in pair)
