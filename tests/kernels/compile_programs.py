"""Compiles programs for one architecture: JSON in, JSON out. Runs in any interpreter that has NVIDIA's packages."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from cudagraph.engine.devices.cuda.compiler import compile_with_facts
from cudagraph.errors import CompileError
from cudagraph.program import Program

ARCH = "sm_90"


def outcome(given: dict[str, Any]) -> dict[str, Any]:
    """What the compiler says of one program."""
    define = tuple((name, value) for name, value in given["define"])
    program = Program(given["text"], given["entry"], given["origin"], define=define)
    try:
        return {"error": "", **asdict(compile_with_facts(program, ARCH)[1])}
    except CompileError as error:
        return {"error": str(error)}


def main() -> None:
    """Threads help: the compiler works without Python's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        json.dump(list(pool.map(outcome, json.load(sys.stdin))), sys.stdout)


if __name__ == "__main__":
    main()
