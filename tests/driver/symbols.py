"""Writes the tables that the emulated driver is compiled with, from the CUDA headers of the installed wheels.

`stubs.cpp`: a stand-in for every driver function that is not emulated. `symbols.inc`: which symbol serves which version
of a function, for cuGetProcAddress. `errors.inc`: names and texts of the error codes.
"""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

FIRST_VERSION = 2000  # of functions that the headers give no version for

ALIASES = [("cuGraphInstantiate", 12000, "cuGraphInstantiateWithFlags")]  # a #define in cuda.h, not a version

TEXTS = {  # what cuGetErrorString says; the others get their name in words
    "CUDA_SUCCESS": "no error",
    "CUDA_ERROR_INVALID_VALUE": "invalid argument",
    "CUDA_ERROR_OUT_OF_MEMORY": "out of memory",
    "CUDA_ERROR_NOT_INITIALIZED": "initialization error",
    "CUDA_ERROR_DEINITIALIZED": "driver shutting down",
    "CUDA_ERROR_NO_DEVICE": "no CUDA-capable device is detected",
    "CUDA_ERROR_INVALID_DEVICE": "invalid device ordinal",
    "CUDA_ERROR_INVALID_IMAGE": "device kernel image is invalid",
    "CUDA_ERROR_INVALID_CONTEXT": "invalid device context",
    "CUDA_ERROR_NO_BINARY_FOR_GPU": "no kernel image is available for execution on the device",
    "CUDA_ERROR_INVALID_HANDLE": "invalid resource handle",
    "CUDA_ERROR_ILLEGAL_STATE": "the operation cannot be performed in the present state",
    "CUDA_ERROR_NOT_FOUND": "named symbol not found",
    "CUDA_ERROR_NOT_READY": "device not ready",
    "CUDA_ERROR_ILLEGAL_ADDRESS": "an illegal memory access was encountered",
    "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES": "too many resources requested for launch",
    "CUDA_ERROR_ASSERT": "device-side assert triggered",
    "CUDA_ERROR_LAUNCH_FAILED": "unspecified launch failure",
    "CUDA_ERROR_NOT_PERMITTED": "operation not permitted",
    "CUDA_ERROR_NOT_SUPPORTED": "operation not supported",
    "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED": "operation not permitted when stream is capturing",
    "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED": "operation failed due to a previous error during capture",
    "CUDA_ERROR_STREAM_CAPTURE_MERGE": "operation would result in a merge of separate capture sequences",
    "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED": "capture was not ended in the same stream as it began",
    "CUDA_ERROR_STREAM_CAPTURE_UNJOINED": "capturing stream has unjoined work",
    "CUDA_ERROR_STREAM_CAPTURE_ISOLATION": "dependency created on uncaptured work in another stream",
    "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT": "operation would make the legacy stream depend on a capturing blocking "
    "stream",
    "CUDA_ERROR_CAPTURED_EVENT": "operation not permitted on an event last recorded in a capturing stream",
    "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD": "attempt to terminate a thread-local capture sequence from another "
    "thread",
    "CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE": "the graph update was not performed because it included changes which "
    "violated constraints specific to instantiated graph update",
    "CUDA_ERROR_UNKNOWN": "unknown error",
}


def exported(header: Path, compiler: str) -> list[str]:
    """Every function symbol that `cuda.h` declares, old versions included."""
    command = [compiler, "-E", "-P", "-D__CUDA_API_VERSION_INTERNAL", "-x", "c++", str(header)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = set(re.findall(r"\bCUresult\s+(cu[A-Z]\w*)\s*\(", text))
    return sorted(name for name in names if not name.endswith(("_ptsz", "_ptds")))


def emulated(sources: Iterable[Path]) -> set[str]:
    """The functions that the sources define."""
    return {name for path in sources for name in re.findall(r"^DRIVER_API (cu\w+)\(", path.read_text(), re.M)}


def base_name(symbol: str) -> str:
    """The name without its version suffix."""
    return re.sub(r"_v\d+$", "", symbol)


def versions(typedefs: Path) -> dict[str, list[int]]:
    """The CUDA versions in which each function changed, oldest first."""
    found: dict[str, set[int]] = defaultdict(set)
    for name, version in re.findall(r"\bPFN_(cu[A-Z]\w*?)_v(\d+)\)", typedefs.read_text()):
        found[name].add(int(version))
    return {name: sorted(numbers) for name, numbers in found.items()}


def symbol_table(symbols: Iterable[str], known: dict[str, list[int]]) -> list[tuple[str, int, str]]:
    """(name, version, symbol): the n-th version of a function belongs to the n-th of its symbols."""
    families: dict[str, list[str]] = defaultdict(list)
    for symbol in symbols:
        families[base_name(symbol)].append(symbol)
    table: list[tuple[str, int, str]] = []
    for name, family in families.items():
        family.sort(key=lambda symbol: int(match[1]) if (match := re.search(r"_v(\d+)$", symbol)) else 1)
        numbers = known.get(name, [])
        numbers = [FIRST_VERSION] * (len(family) - len(numbers)) + numbers[-len(family) :]
        table += [(name, number, symbol) for number, symbol in zip(numbers, family, strict=True)]
    return table


def errors(header: Path) -> list[tuple[str, str]]:
    """(name, text) of every error code."""
    body = re.search(r"typedef enum cudaError_enum \{(.*?)\} CUresult;", header.read_text(), re.S)
    names: list[str] = re.findall(r"^\s*(CUDA_\w+)\s*=", body[1] if body else "", re.M)
    return [(name, TEXTS.get(name) or name.removeprefix("CUDA_ERROR_").replace("_", " ").lower()) for name in names]


def generate(include: Path, sources: Iterable[Path], target: Path, compiler: str) -> None:
    """Write the three tables into `target`."""
    symbols = exported(include / "cuda.h", compiler)
    missing = sorted(set(symbols) - emulated(sources))
    head = [
        'extern "C" int cudagraph_driver_missing(const char* symbol);',
        '#define STUB extern "C" __attribute__((visibility("default"))) int',
    ]
    stubs = [f'STUB {name}() {{ return cudagraph_driver_missing("{name}"); }}' for name in missing]
    (target / "stubs.cpp").write_text("\n".join([*head, *stubs, ""]))
    table = symbol_table(symbols, versions(include / "cudaTypedefs.h")) + ALIASES
    (target / "symbols.inc").write_text("".join(f'{{"{a}", {b}, "{c}"}},\n' for a, b, c in table))
    (target / "errors.inc").write_text("".join(f'{{{n}, "{n}", "{t}"}},\n' for n, t in errors(include / "cuda.h")))
