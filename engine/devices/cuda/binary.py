"""Whether a ready-made PTX text or cubin can run on an architecture, found out before the driver says an opaque no."""

from __future__ import annotations

import re
import struct

from cudagraph.errors import CompileError
from cudagraph.program import Language, Program

_MACHINE_CUDA = 190  # e_machine of NVIDIA's ELF files


def check_loadable(program: Program, image: bytes, arch: str) -> None:
    """Raise `CompileError` when the image is damaged, lacks the entry, or is for GPUs that `arch` is not."""
    if program.language is Language.PTX:
        _check_ptx(program, image.decode(errors="replace"), arch)
    else:
        _check_cubin(program, image, arch)


def _check_ptx(program: Program, text: str, arch: str) -> None:
    target = re.search(r"^\s*\.target\s+sm_(\d+)([af]?)", text, re.MULTILINE)
    if target is None:
        raise _refusal(program, "this is not PTX: it has no `.target sm_...` line")
    if not re.search(rf"\.entry\s+{re.escape(program.entry)}\s*[({{]", text):
        entries = ", ".join(re.findall(r"\.entry\s+(\w+)", text)) or "none"
        raise _refusal(program, f"this PTX has no entry {program.entry!r}; its entries are: {entries}")
    number, suffix = int(target[1]), target[2]
    if number > _number(arch) or (suffix == "a" and number != _number(arch)):
        raise _refusal(
            program, f"this PTX is for sm_{number}{suffix}, which {arch} cannot run: compile it for {arch} or older"
        )


def _check_cubin(program: Program, image: bytes, arch: str) -> None:
    built_for = cubin_architecture(image)
    if built_for is None:
        raise _refusal(program, "this is not a cubin: it is no ELF file of NVIDIA's")
    if built_for // 10 != _number(arch) // 10 or built_for > _number(arch):
        raise _refusal(
            program, f"this cubin is for sm_{built_for}, which {arch} cannot run: compile it for {arch}, or give PTX"
        )
    if not has_entry(image, program.entry):
        raise _refusal(program, f"this cubin has no kernel named {program.entry!r}")


def cubin_architecture(image: bytes) -> int | None:
    """The number in `sm_NN` that a cubin was compiled for; None when it is no cubin."""
    if image[:4] != b"\x7fELF" or len(image) < 64 or struct.unpack_from("<H", image, 18)[0] != _MACHINE_CUDA:
        return None
    (flags,) = struct.unpack_from("<I", image, 48)
    abi_version = image[8]
    return flags >> 8 & 0xFF if abi_version >= 8 else flags & 0xFF  # CUDA 13 moved the field


def has_entry(cubin: bytes, entry: str) -> bool:
    """Whether a cubin holds a kernel of this name: each has a section of its own."""
    return f".text.{entry}\0".encode() in cubin


def _number(arch: str) -> int:
    return int(re.sub(r"\D", "", arch))


def _refusal(program: Program, why: str) -> CompileError:
    return CompileError(f"{program.origin}: {why}", origin=program.origin)
