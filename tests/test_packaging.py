"""What an installed package holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

DATA = {".cu", ".cuh", ".h", ".cpp", ".json", ".typed"}
FOLDERS = ("cudagraph", "engine", "blocks", "kernels")


@pytest.fixture(scope="module")
def built(repository, tmp_path_factory):
    """The wheel and the sdist of a copy of the checkout, so that no build folder is left in the real one."""
    assert find_spec("setuptools"), "the tests need setuptools: pip install -e '.[test]'"
    copy = tmp_path_factory.mktemp("checkout")
    for folder in FOLDERS:
        shutil.copytree(repository / folder, copy / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(repository / name, copy / name)
    script = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"
    done = subprocess.run([sys.executable, "-c", script], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return copy / "dist"


@pytest.fixture(scope="module")
def expected(repository):
    """Every file of the four folders that a user needs, as it is called in the package."""
    files = set()
    for folder in FOLDERS:
        inside = "" if folder == "cudagraph" else f"cudagraph/{folder}/"
        for path in (repository / folder).rglob("*"):
            if path.is_file() and (path.suffix in DATA or path.suffix == ".py") and "__pycache__" not in path.parts:
                name = path.relative_to(repository).as_posix()
                files.add(name if folder == "cudagraph" else inside + name.removeprefix(f"{folder}/"))
    return files


def test_the_wheel_holds_every_module_kernel_and_header(built, expected):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected
    assert "cudagraph/py.typed" in names
    assert any(name.startswith("cudagraph/kernels/") and name.endswith(".cu") for name in names)
    assert any(name.startswith("cudagraph/engine/devices/host/runtime/") and name.endswith(".h") for name in names)


def test_the_sdist_builds_on_its_own(built, expected):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = {member.name.partition("/")[2]: member for member in archive.getmembers()}
    assert expected <= set(members)
    assert not [name for name, member in members.items() if member.issym()], "links would break where they are unpacked"
    assert not [name for name in members if name.startswith(("tests/", "docs/"))]


@pytest.fixture
def unpacked(built, tmp_path):
    """A folder with the package of the wheel."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    return tmp_path


def test_the_wheel_runs_outside_of_the_checkout(unpacked, repository, tmp_path):
    """Warnings are errors, as they are for the checkout's own tests."""
    (tmp_path / "hello.py").write_text((repository / "examples" / "hello.py").read_text() + "print(cg.__file__)\n")
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "CUDAGRAPH_DEVICE": "host"}
    command = [sys.executable, "-W", "error", "hello.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *printed, place = done.stdout.splitlines()
    assert printed[0] == "y = [20. 30. 40. 50. 60.]"
    assert Path(place).is_relative_to(tmp_path)


def test_type_checkers_know_the_blocks_that_were_added(unpacked):
    """So that editors complete `block.` and find `block.factor = 2.0`, which is a mistake."""
    (unpacked / "typed.py").write_text(
        "import cudagraph as cg\nfrom cudagraph.blocks import ReLU, Scale\n"
        "with cg.CudaEngine() as engine:\n"
        "    scale, relu = engine.add(Scale(2.0), ReLU())\n"
        "    one, more = engine.add(Scale(1.0), name='one'), engine.add(*[ReLU()])\n"
        "    reveal_type(scale), reveal_type(relu), reveal_type(one), reveal_type(more)\n"
        "    scale.factor = 2.0\n"
    )
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "typed.py"]
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=False)
    assert re.findall(r'Type of .* is "(.*)"$', done.stdout, re.MULTILINE) == ["Scale", "ReLU", "Scale", "Any"]
    assert re.findall(r"typed\.py:(\d+):.* error: (.*)$", done.stdout, re.MULTILINE) == [
        ("7", 'Cannot assign to attribute "factor" for class "Scale"')
    ]


def test_the_metadata_says_what_is_supported(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        lines = archive.read(name).decode().splitlines()
    python = [
        tuple(map(int, line.split()[-1].split("."))) for line in lines if "Classifier: Programming Language" in line
    ]
    assert "Requires-Python: >=3.11" in lines
    assert python[0] == (3, 11) and python == sorted(python)


def test_data_files_have_the_suffixes_that_are_packaged(repository):
    """A new kind of file in the package needs a line in pyproject.toml."""
    patterns = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    packaged = {".py"} | {"." + pattern.rpartition(".")[2] for pattern in patterns}
    found = {
        path.suffix
        for folder in FOLDERS
        for path in (repository / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert found <= packaged
