"""Reading what NVRTC and ptxas print."""

from __future__ import annotations

import re

from ..base import KernelFacts

_NOISE = re.compile(
    r"^(Remark: The warnings can be suppressed.*"
    r'|\d+ (catastrophic )?errors? detected in the compilation of ".*"\.|Compilation terminated\.'
    r"|ptxas info .*|ptxas +\. .*|ptxas fatal +: Ptx assembly aborted due to errors|nvrtc: error: .*|\s*)$"
)
_REGISTERS_PER_BLOCK = 65536


def readable_log(log: str, origin: str) -> str:
    """The messages alone: no counts, no remarks, no ptxas statistics, and inline assembly errors said in words."""
    lines = [line.rstrip() for line in log.replace("\0", "").splitlines()]
    kept = [_explained(line, origin) for line in lines if not _NOISE.match(line)]
    return "\n".join(kept)


def _explained(line: str, origin: str) -> str:
    found = re.match(r"ptxas application ptx input, line \d+; error +: (.*)", line)
    return f"{origin}: error in inline assembly: {found[1]}" if found else line


def parse_facts(log: str, entry: str) -> KernelFacts:
    """What `ptxas -v` said of one entry function; zeros for what it did not say."""
    section = _section(log, entry)
    registers = _number(section, r"Used (\d+) registers")
    return KernelFacts(
        registers=registers,
        shared_bytes=_number(section, r"(\d+) bytes smem"),
        local_bytes=_number(section, r"(\d+) bytes stack frame"),
        max_threads=_most_threads(registers),
    )


def _section(log: str, entry: str) -> str:
    parts = re.split(r"(?=ptxas info +: Compiling entry function ')", log)
    return next((part for part in parts if f"entry function '{entry}'" in part), "")


def _number(text: str, pattern: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def _most_threads(registers: int) -> int:
    """Threads per block that the register file allows: registers are handed out 8 at a time to whole warps of 32."""
    if registers == 0:
        return 1024
    per_warp = -(-registers // 8) * 8 * 32
    return min(1024, _REGISTERS_PER_BLOCK // per_warp * 32)
