"""Damaged files of every kind are read or refused with a sentence. The same command runs any number of them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import cudagraph as cg
from cudagraph.expression import parse_expression
from cudagraph.source import CudaSource, resolve_source

FILE = Path(__file__).parents[2] / "benchmarks" / "fuzz_files.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_files", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


FUZZ = _load()


@pytest.mark.parametrize("kind", FUZZ.KINDS)
def test_damaged_files(kind: str) -> None:
    outcome = FUZZ.fuzz(kind, 400, seed=1)
    assert outcome.failures == []
    assert outcome.read > 0 and outcome.refused > 100


def test_a_crash_and_a_hang_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(folder: Path, choose: object) -> object:
        (folder / "k.txt").write_text("the file")
        return lambda: [][0]

    monkeypatch.setitem(FUZZ.KINDS, "crash", crash)
    failures = FUZZ.fuzz("crash", 9, seed=0).failures
    assert len(failures) == 5
    assert "IndexError" in failures[0] and "k.txt: b'the file'" in failures[0]
    monkeypatch.setattr(FUZZ, "SECONDS", 1e-9)
    assert "took" in FUZZ.fuzz("ptx", 1, seed=0).failures[0]


@pytest.mark.parametrize("name", ["x" * 5000, "a\\0b", "loop.cuh", "../" * 2000])
def test_names_of_includes_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop.cuh").symlink_to(tmp_path / "loop.cuh")
    kernel = 'extern "C" __global__ void k(float* x) {}'
    with pytest.raises(cg.DescriptionError, match=r"was not found|leaves the folders"):
        resolve_source(CudaSource(f'#include "{name}"\n{kernel}'), folders=(tmp_path,))


@pytest.mark.parametrize("word", ["long", "unsigned", "const", "float"])
def test_an_assignment_to_a_type(word: str) -> None:
    with pytest.raises(cg.DescriptionError, match=word):
        parse_expression(f"{word} = x + 1")
