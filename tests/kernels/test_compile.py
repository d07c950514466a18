"""Every kernel of the library compiles: with NVRTC for four architectures (which needs no GPU), and for the host."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import machine_code
import pytest
from block_programs import Use, uses

from cudagraph.cli.kernels import ARCHITECTURES, library, named_variants, variants
from cudagraph.environment import Environment

KERNELS = dict(library())
# They keep tiles in registers, for thread blocks of at most 128: two fit on a multiprocessor.
TILES_IN_REGISTERS = {"attention", "attention_decode", "linear_attention"}
# Rows of up to 1024 numbers are held by one warp, with the weights; four warps are a block.
ROWS_IN_REGISTERS = {"row_norm", "modulated_norm", "conditional_norm"}
MOST_REGISTERS = dict.fromkeys(TILES_IN_REGISTERS, 255) | dict.fromkeys(ROWS_IN_REGISTERS, 160)
MOST_REGISTERS |= dict.fromkeys(("mixed", "sine"), 168)  # sines and exponentials of several doubles at a time
# Bytes of local memory that are allowed, and why.
SPILLS = {
    ("linear_attention", "double"): 512,  # 64 sums and 64 totals in double are more than 255 registers
    ("sine_wave", "double"): 40,  # the branch of CUDA's own sine for large doubles
    ("row_norm", "20000"): 32,  # 1024 threads hold a row; with 64 registers each, that is a few too many
    ("geo_stack", "__nv_bfloat16"): 16,  # two registers too few for 45 features, with CUDA 13 only
}
# What blocks run is compiled in so many tests, because it takes minutes.
PARTS = 4
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
    spilled = {
        (outcome["kernel"], outcome["T"], outcome["arch"], outcome["define"]): outcome["spills"] for outcome in outcomes
    }
    assert {key: spills for key, spills in spilled.items() if spills > allowed_spills(entry_of(key[0]), key[1])} == {}
    used = {(o["kernel"], o["T"], o["arch"], o["define"]): o["registers"] for o in outcomes}
    assert {key: count for key, count in used.items() if not 0 < count <= most_registers(entry_of(key[0]))} == {}
    assert all(outcome["shared_bytes"] <= 48 << 10 for outcome in outcomes)


def entry_of(name: str) -> str:
    return name.rpartition("/")[2]


def allowed_spills(entry: str, *details: str) -> int:
    return max((SPILLS.get((entry, detail), 0) for detail in details), default=0)


def most_registers(entry: str) -> int:
    return MOST_REGISTERS.get(entry, 128)


def test_variants_are_read_from_a_header():
    named = named_variants(KERNELS["channel_mixing/gemv"])
    assert (("ROWS", "8"), ("SPLIT", "4")) in named and (("GATED", "1"),) in named
    assert named_variants(KERNELS["math/scale"]) == []


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("interpreter", [name for name, path in INTERPRETERS.items() if path] or ["none"])
def test_what_blocks_run_compiles_and_can_reach_its_floor(interpreter, part, repository):
    """Every program of every block's cases and of whole models, with the macros that they set."""
    if interpreter == "none":
        pytest.skip("no interpreter with cuda.bindings: set CUDAGRAPH_TEST_CU12 or CUDAGRAPH_TEST_CU13")
    used = all_uses()[part::PARTS]
    fields = ("text", "entry", "origin", "define")
    given = json.dumps([{name: getattr(use.program, name) for name in fields} for use in used])
    command = [INTERPRETERS[interpreter], str(Path(__file__).with_name("compile_programs.py"))]
    environment = os.environ | {"PYTHONPATH": str(repository)}
    done = subprocess.run(
        command, input=given, cwd=repository, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    problems = [
        f"{use.program.entry} {use.program.define} of {use.block}: {problem}"
        for use, outcome in zip(used, json.loads(done.stdout), strict=True)
        if (problem := problem_of(use, outcome))
    ]
    assert problems == []


@cache
def all_uses() -> list[Use]:
    return uses()


def problem_of(use: Use, outcome: dict[str, Any]) -> str:
    """What is wrong with a program that a block runs, in words."""
    if outcome["error"]:
        return outcome["error"]
    entry, spills, registers = use.program.entry, outcome["local_bytes"], outcome["registers"]
    if spills > allowed_spills(entry, *(value for _, value in use.program.define)):
        return f"{spills} bytes of local memory"
    if not 0 < registers <= most_registers(entry) or use.threads > outcome["max_threads"]:
        return f"{registers} registers for each of {use.threads} threads"
    if outcome["shared_bytes"] > 48 << 10:
        return f"{outcome['shared_bytes']} bytes of shared memory"
    return machine_code.problem_of(entry, outcome["instructions"]) if outcome["instructions"] else ""


def test_limits_of_machine_code_are_of_kernels_that_there_are():
    entries = {source.signature.entry for _, source in library()}
    assert {entry for entry in machine_code.LIMITS if entry != "elementwise_"} <= entries


def test_machine_code_that_breaks_limits_is_told():
    good = {"LDG.E.128.CONSTANT": 4, "STG.E.128": 4, "LDG.E.CONSTANT": 4, "LDG.E.64": 9, "BRA": 8}
    assert machine_code.problem_of("scale", good) == ""
    assert machine_code.problem_of("no_such_kernel", {"LDG.E.U16": 99}) == ""
    narrow = machine_code.problem_of("scale", {"LDG.E.U16.CONSTANT": 5, "STG.E.U16": 5})
    assert "0 loads of 16 bytes where at least 2 are wanted" in narrow and "5 loads of one or two bytes" in narrow
    assert machine_code.problem_of("scale", good | {"FCHK": 16}) == "16 slow divisions where at most 1 are wanted"
    assert machine_code.problem_of("elementwise_0123", good | {"BRA": 99}) == "99 branches where at most 60 are wanted"


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
