"""Every kernel of the library compiles: with NVRTC for four architectures (which needs no GPU), and for the host."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from cudagraph.cli.kernels import ARCHITECTURES, library, variants
from cudagraph.environment import Environment

KERNELS = dict(library())
# They keep tiles in registers, for thread blocks of at most 128: two fit on a multiprocessor.
TILES_IN_REGISTERS = {"sequence_mixing/attention", "sequence_mixing/linear_attention"}
# Interpreters with NVIDIA's packages: this one, where it has them, and those that CI installs.
INTERPRETERS = {
    "here": sys.executable if importlib.util.find_spec("cuda") else None,
    "cu12": os.environ.get("CUDAGRAPH_TEST_CU12"),
    "cu13": os.environ.get("CUDAGRAPH_TEST_CU13"),
}


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_says_what_it_computes(name):
    lines = KERNELS[name].files[0].read_text().splitlines()
    comment = "\n".join(line for line in lines if line.startswith("//"))
    assert lines[0].startswith("// ") and ("=" in lines[0])
    assert all(word in comment for word in ("Layout:", "Idea:", "Floor:"))


@pytest.mark.parametrize("interpreter", [name for name, path in INTERPRETERS.items() if path] or ["none"])
def test_every_kernel_compiles_with_nvrtc(interpreter, repository):
    if interpreter == "none":
        pytest.skip("no interpreter with cuda.bindings: set CUDAGRAPH_TEST_CU12 or CUDAGRAPH_TEST_CU13")
    archs = [option for arch in ARCHITECTURES for option in ("--arch", arch)]
    command = [INTERPRETERS[interpreter], "-m", "cudagraph", "kernels", "--compile", "--json", *archs]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    outcomes = json.loads(done.stdout)
    assert [outcome["error"] for outcome in outcomes if outcome["error"]] == []
    assert {outcome["kernel"] for outcome in outcomes} == set(KERNELS)
    assert {outcome["arch"] for outcome in outcomes} == set(ARCHITECTURES)
    spilled = {(outcome["kernel"], outcome["arch"]): outcome["spills"] for outcome in outcomes if outcome["spills"]}
    assert spilled == {}
    assert all(
        0 < outcome["registers"] <= (255 if outcome["kernel"] in TILES_IN_REGISTERS else 128)
        and outcome["shared_bytes"] <= 48 << 10
        for outcome in outcomes
    )


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_compiles_for_the_host(name):
    from cudagraph.engine.cache import BinaryCache
    from cudagraph.engine.compile import Compiled, compile_programs
    from cudagraph.engine.devices.select import open_device

    environment = Environment.from_environ()
    device = open_device("host", environment)
    try:
        results = compile_programs(variants(KERNELS[name]).values(), device.compiler, BinaryCache(environment.cache))
    finally:
        device.close()
    assert all(isinstance(result, Compiled) for result in results.values()), results
