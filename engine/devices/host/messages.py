"""What a C++ compiler says about our translation unit, told as if it had read the user's file."""

from __future__ import annotations

import re
from pathlib import Path

from cudagraph.errors import CompileError
from cudagraph.program import Language, Program

from .translate import PROLOGUE, UNSUPPORTED

_WHAT_TO_DO = (
    "Put it under `#ifndef CUDAGRAPH_HOST` with a portable path beside it, or run this block on a GPU (device='cuda')"
)
_MOST_LINES = 60


def refusal(program: Program) -> CompileError:
    """The error for a program that is no source."""
    kind = "PTX" if program.language is Language.PTX else "a cubin, which is machine code of a GPU"
    return CompileError(
        f"{program.origin}: kernel {program.entry} is {kind}; the host device runs CUDA C++ source only. "
        "Give the kernel's .cu file, or run this block on a GPU (device='cuda')",
        origin=program.origin,
    )


def readable(program: Program, log: str, runtime: Path) -> CompileError:
    """The error for a compiler's messages."""
    marker = re.search(r"^(?P<where>[^\n]*?:\d+)(:\d+)?:[^\n]*\bcg_unsupported_(?P<feature>[a-z_]+)", log, re.MULTILINE)
    if marker and marker["feature"] in UNSUPPORTED:
        what = UNSUPPORTED[marker["feature"]]
        return CompileError(f"{marker['where']}: a CPU has no {what}. {_WHAT_TO_DO}", origin=program.origin)
    if "frame-larger-than" in log or "stack frame size" in log:
        return CompileError(_large_frame(program, log), origin=program.origin)
    if not re.search(rf"^(?!{PROLOGUE}|In file|{re.escape(str(runtime))}/).*error:", log, re.MULTILINE):
        return CompileError(
            f"{program.origin} has no kernel {program.entry}; it must be "
            f'`extern "C" __global__ void {program.entry}(...)`, outside of any #if that leaves it out',
            origin=program.origin,
        )
    lines = [line for line in log.splitlines() if not _is_ours(line)]
    text = "\n".join(lines[:_MOST_LINES]).replace(f"{runtime}/", "cudagraph/")
    return CompileError(f"kernel {program.entry} does not compile for the host", origin=program.origin, log=text)


def _large_frame(program: Program, log: str) -> str:
    size = re.search(r"\b(?:frame size|stack frame size)\D*(\d+)", log)
    given = f"{int(size[1]):,} bytes" if size else "more"
    return (
        f"{program.origin}: the local arrays of kernel {program.entry} take {given} of stack; with barriers each "
        "thread has 32,768 on the host. Make them smaller, or put them in shared memory"
    )


def _is_ours(line: str) -> bool:
    """Whether a line only tells how our own lines led there."""
    return PROLOGUE in line or line.startswith(("In file included from <", "<command-line>", "compilation terminated"))
