"""`cudagraph kernels`: the kernel library, and what the compiler says of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.text import Text

from cudagraph.errors import CompileError
from cudagraph.program import Program
from cudagraph.source import KERNELS, KernelSource, resolve_source

from .output import print_json, show, table

ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "sm_120")
_TYPES = ("float", "double", "__half", "__nv_bfloat16")
_OPEN = "T"
# Variants matter where blocks run them most: one architecture stands for all, and two types for four.
_VARIANT_ARCH = "sm_90"
_VARIANT_TYPES = ("float", "__nv_bfloat16")
_VARIANTS = "// Variants: "

Define = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Outcome:
    """One kernel compiled for one architecture. `T`: what its open type was; `spills`: bytes of local memory.

    `define`: the macros of a variant, such as "ROWS=8 SPLIT=4"; "" for the kernel as it stands.
    """

    kernel: str
    T: str
    arch: str
    define: str = ""
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
    jobs = [job for name, source in library() for job in _jobs(name, source, archs)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(lambda job: _compile(*job), jobs))
    _print_outcomes(outcomes, as_json)
    return int(any(outcome.error for outcome in outcomes))


def named_variants(source: KernelSource) -> list[Define]:
    """The macros that a kernel's header names: `// Variants: ROWS=8 SPLIT=4; GATED=1` are two."""
    lines = [line for line in source.files[0].read_text().splitlines() if line.startswith(_VARIANTS)]
    texts = [text for line in lines for text in line.removeprefix(_VARIANTS).split(";") if text.strip()]
    return [tuple((name, value) for name, _, value in (one.partition("=") for one in text.split())) for text in texts]


def _jobs(name: str, source: KernelSource, archs: tuple[str, ...]) -> Iterator[tuple[Outcome, Program]]:
    """What to compile: the kernel for all types and architectures, its variants for the ones that stand for them."""
    for ctype, program in variants(source).items():
        for arch in archs or ARCHITECTURES:
            yield Outcome(name, ctype, arch), program
    arch = archs[0] if archs and _VARIANT_ARCH not in archs else _VARIANT_ARCH
    for define in named_variants(source):
        text = " ".join(f"{macro}={value}" for macro, value in define)
        for ctype, program in variants(source).items():
            if ctype in ("", *_VARIANT_TYPES):
                yield Outcome(name, ctype, arch, text), replace(program, define=(*program.define, *define))


def _compile(blank: Outcome, program: Program) -> Outcome:
    from cudagraph.engine.devices.cuda.compiler import compile_with_facts

    try:
        _, facts = compile_with_facts(program, blank.arch)
    except CompileError as error:
        return replace(blank, error=str(error))
    return replace(
        blank,
        registers=facts.registers,
        shared_bytes=facts.shared_bytes,
        spills=facts.local_bytes,
        max_threads=facts.max_threads,
    )


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
    rows = [(o.kernel, o.T, o.arch, o.define, o.registers, o.shared_bytes, o.spills, o.max_threads) for o in good]
    show(table(("kernel", "T", "arch", "variant", *numbers), rows, right=numbers))
    for message in dict.fromkeys(outcome.error for outcome in outcomes if outcome.error):
        show(Text(message, style="red"))
    show(f"{len(good)} of {len(outcomes)} compiled")
