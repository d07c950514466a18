"""Compiles programs for one architecture: JSON in, JSON out. Runs in any interpreter that has NVIDIA's packages.

Where `nvidia-cuda-nvdisasm` is among them, it also counts the instructions of the machine code.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cudagraph.engine.devices.cuda.compiler import compile_with_facts
from cudagraph.errors import CompileError
from cudagraph.program import Program

ARCH = "sm_90"
INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)")


def outcome(given: dict[str, Any], disassembler: Path | None) -> dict[str, Any]:
    """What the compiler says of one program, and how often each instruction is in it."""
    define = tuple((name, value) for name, value in given["define"])
    program = Program(given["text"], given["entry"], given["origin"], define=define)
    try:
        binary, facts = compile_with_facts(program, ARCH)
    except CompileError as error:
        return {"error": str(error)}
    return {"error": "", **asdict(facts), "instructions": disassembler and instructions(binary, disassembler)}


def instructions(binary: bytes, disassembler: Path) -> Counter[str]:
    """How often each instruction is in a cubin."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        done = subprocess.run([disassembler, "-c", file.name], capture_output=True, text=True, check=True)
    return Counter(INSTRUCTION.findall(done.stdout))


def find_disassembler() -> Path | None:
    """The one that the packages of this interpreter hold."""
    nvidia = importlib.util.find_spec("nvidia")
    folders = nvidia.submodule_search_locations if nvidia and nvidia.submodule_search_locations else []
    return next((path for folder in folders for path in Path(folder).glob("*/bin/nvdisasm")), None)


def main() -> None:
    """Threads help: the compiler works without Python's lock."""
    disassembler = find_disassembler()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        json.dump(list(pool.map(lambda given: outcome(given, disassembler), json.load(sys.stdin))), sys.stdout)


if __name__ == "__main__":
    main()
