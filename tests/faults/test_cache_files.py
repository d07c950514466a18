"""The kernel cache as an engine meets it: damaged, shared, emptied, not writable."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg
from cudagraph.engine.cache import BinaryCache
from cudagraph.engine.devices.host import library
from cudagraph.engine.devices.host.toolchain import find_toolchain

X = np.arange(12, dtype=np.float32)
ROOT = Path(__file__).parents[2]


def run(cache: Path, source: str = toy.SCALE) -> str:
    """One engine, one frame, its report."""
    environment = replace(cg.Environment.from_environ(), cache=cache)
    with cg.CudaEngine("host", environment=environment) as engine:
        scale = engine.add(toy.Scale(2.0))
        scale.replace_source(source)
        engine.bind(scale.x, X)
        engine.update()
        np.testing.assert_array_equal(engine.read(scale.y), 2 * X)
        return engine.report()


@pytest.mark.parametrize("damage", ["empty", "half", "flipped", "garbage", "folder"])
def test_damaged_files_are_compiled_anew(tmp_path: Path, damage: str) -> None:
    source = toy.SCALE + f"// {damage}"  # no module of this process has it yet
    assert "warning" not in run(tmp_path, source)
    files = list(tmp_path.rglob("*.bin"))
    assert files
    for path in files:
        data = path.read_bytes()
        path.unlink()
        if damage == "folder":
            path.mkdir()
        else:
            middle = len(data) // 2
            flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
            damaged = {"empty": b"", "half": data[:middle], "flipped": flipped, "garbage": os.urandom(len(data))}
            path.write_bytes(damaged[damage])
    run(tmp_path, source)
    if damage != "folder":
        assert sum(path.is_file() for path in tmp_path.rglob("*.bin")) == len(files)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    report = run(tmp_path / "file" / "cache", toy.SCALE + "// nowhere")
    assert "every process compiles its kernels" in " ".join(report.split())
    assert "CUDAGRAPH_CACHE" in report


def test_a_file_that_another_process_removes_before_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = BinaryCache.put

    def put_and_lose(cache: BinaryCache, key: str, binary: bytes) -> Path | None:
        path = put(cache, key, binary)
        assert path is not None
        path.unlink()
        return path

    monkeypatch.setattr(BinaryCache, "put", put_and_lose)
    other = toy.SCALE.replace("factor * x[i]", "factor * x[i] + 1.25f - 1.25f")  # no module of this process yet
    run(tmp_path, other)


def test_a_runtime_library_that_another_process_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = library.runtime_path

    def find_and_lose(toolchain: library.Toolchain, folder: Path | None) -> Path:
        path = find(toolchain, folder)
        if folder is not None:
            path.unlink()
        return path

    monkeypatch.setattr(library, "_loaded", {})
    monkeypatch.setattr(library, "runtime_path", find_and_lose)
    assert library.runtime_library(find_toolchain(), tmp_path).get_workers() > 0


def test_processes_that_share_a_folder_while_a_third_empties_it(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]\n"
        "from dataclasses import replace; from pathlib import Path\n"
        "import numpy as np, toy_blocks as toy, cudagraph as cg\n"
        "environment = replace(cg.Environment.from_environ(), cache=Path(sys.argv[1]))\n"
        "for number in range(3):\n"
        "    with cg.CudaEngine('host', environment=environment) as engine:\n"
        "        scale = engine.add(toy.Scale(2.0))\n"
        "        scale.replace_source(toy.SCALE + f'// {number}')\n"
        "        engine.bind(scale.x, np.ones(4, np.float32)); engine.update()\n"
        "        assert engine.read(scale.y)[0] == 2 and not engine.errors\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(2)]
    while any(process.poll() is None for process in processes):
        BinaryCache(tmp_path).clear()
    assert [process.wait() for process in processes] == [0, 0]
