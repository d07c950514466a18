"""Who may import whom."""

from __future__ import annotations

import subprocess
import sys

import grimp
import pytest

ABOVE = {"cudagraph.cli", "cudagraph.engine", "cudagraph.blocks", "cudagraph.__main__"}
CUDA = {"cuda", "cupy", "nvmath", "torch", "triton", "numba", "warp", "psann", "transformers"}


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph(
        "cudagraph", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


def described(graph):
    """The modules of the description layer: everything directly under cudagraph that is not one of the other layers."""
    return {"cudagraph"} | (graph.find_children("cudagraph") - ABOVE - {"cudagraph.kernels"})


def external(graph, modules):
    """Top-level packages outside the standard library that these modules import."""
    imported = {name for module in modules for name in graph.find_modules_directly_imported_by(module)}
    return {name for name in imported if not name.startswith("cudagraph")} - set(sys.stdlib_module_names)


def test_the_graph_reaches_through_the_links(graph):
    assert {"cudagraph.engine.devices.base", "cudagraph.engine.plan", "cudagraph.blocks"} <= graph.modules


def test_the_description_imports_nothing_above_it(graph):
    for module in described(graph):
        above = {name for name in graph.find_modules_directly_imported_by(module) if name.startswith(tuple(ABOVE))}
        assert not above, f"{module} describes, and imports {above}"


def test_the_description_needs_four_packages(graph):
    assert external(graph, described(graph)) <= {"numpy", "networkx", "ml_dtypes"}


def test_blocks_import_the_description_only(graph):
    blocks = {"cudagraph.blocks"} | graph.find_descendants("cudagraph.blocks")
    for module in blocks:
        imported = graph.find_modules_directly_imported_by(module)
        assert not {name for name in imported if name.startswith(("cudagraph.engine", "cudagraph.cli"))}, module
    assert external(graph, blocks) <= {"numpy", "ml_dtypes", "safetensors"}


def test_the_contracts_of_import_linter_hold(repository):
    """The same command as in CI; its contracts are in pyproject.toml."""
    lint = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"]
    done = subprocess.run(lint, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", ["cudagraph", "cudagraph.blocks", "cudagraph.engine", "cudagraph.cli"])
def test_importing_never_loads_a_cuda_package(module, repository):
    script = f"import sys, {module}; print(*sorted({CUDA!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_describing_never_loads_the_engine(repository):
    script = "import sys, cudagraph, cudagraph.blocks; print(*[name for name in sys.modules if 'engine' in name])"
    done = subprocess.run([sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
