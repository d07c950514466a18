"""`cudagraph kernels`: the kernel library, and what the compiler says of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from rich.text import Text

from cudagraph.errors import CompileError
from cudagraph.program import Program
from cudagraph.source import KERNELS, KernelSource, resolve_source

from .output import print_json, show, table

ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "sm_120")
_TYPES = ("float", "double", "__half", "__nv_bfloat16")
_OPEN = "T"


@dataclass(frozen=True)
class Outcome:
    """One kernel compiled for one architecture. `T`: what its open type was; `spills`: bytes of local memory."""

    kernel: str
    T: str
    arch: str
    registers: int = 0
    shared_bytes: int = 0
    spills: int = 0
    max_threads: int = 0
    error: str = ""


def library() -> Iterator[tuple[str, KernelSource]]:
    """Every kernel of the library by name, such as "math/vector_add"."""
    root = KERNELS.resolve()
    for file in sorted(root.rglob("*.cu")):
        name = file.relative_to(root).with_suffix("").as_posix()
        yield name, resolve_source(str(file))


def variants(source: KernelSource) -> dict[str, Program]:
    """The programs to compile a kernel as, by the type that its open type stands for ("" when it has none)."""
    if not any(argument.ctype == _OPEN for argument in source.signature.arguments):
        return {"": source.program()}
    return {ctype: source.program(((_OPEN, ctype),)) for ctype in _TYPES}


def run(*, compiled: bool, archs: tuple[str, ...], as_json: bool) -> int:
    """Print the library, or the compiler's figures for it; the exit code is 1 when something does not compile."""
    if not compiled:
        _print_library(as_json)
        return 0
    jobs = [
        (name, ctype, program, arch)
        for name, source in library()
        for ctype, program in variants(source).items()
        for arch in archs or ARCHITECTURES
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(lambda job: _compile(*job), jobs))
    _print_outcomes(outcomes, as_json)
    return int(any(outcome.error for outcome in outcomes))


def _compile(name: str, ctype: str, program: Program, arch: str) -> Outcome:
    from cudagraph.engine.devices.cuda.compiler import compile_with_facts

    try:
        _, facts = compile_with_facts(program, arch)
    except CompileError as error:
        return Outcome(name, ctype, arch, error=str(error))
    return Outcome(name, ctype, arch, facts.registers, facts.shared_bytes, facts.local_bytes, facts.max_threads)


def _print_library(as_json: bool) -> None:
    facts = {name: _facts(source) for name, source in library()}
    if as_json:
        print_json(facts)
        return
    rows = [(name, fact["entry"], ", ".join(fact["arguments"]), fact["formula"]) for name, fact in facts.items()]
    show(table(("kernel", "entry", "arguments", "computes"), rows))


def _facts(source: KernelSource) -> dict[str, Any]:
    arguments = [str(argument) for argument in source.signature.arguments]
    return {"entry": source.signature.entry, "arguments": arguments, "formula": _formula(source)}


def _formula(source: KernelSource) -> str:
    first = source.files[0].read_text().split("\n", 1)[0]
    return first.removeprefix("//").strip()


def _print_outcomes(outcomes: list[Outcome], as_json: bool) -> None:
    if as_json:
        print_json([asdict(outcome) for outcome in outcomes])
        return
    good = [outcome for outcome in outcomes if not outcome.error]
    numbers = ("registers", "shared bytes", "spills", "max threads")
    rows = [(o.kernel, o.T, o.arch, o.registers, o.shared_bytes, o.spills, o.max_threads) for o in good]
    show(table(("kernel", "T", "arch", *numbers), rows, right=numbers))
    for message in dict.fromkeys(outcome.error for outcome in outcomes if outcome.error):
        show(Text(message, style="red"))
    show(f"{len(good)} of {len(outcomes)} compiled")
