"""Kernels that somebody compiled already: PTX or a cubin at hand, and the kernel objects of Triton and Numba.

Binaries know sizes, not names and directions, so those are given as C++ writes them:

    cg.CompiledKernel(triton_kernel, ["const float* x", "float* y", "int n"])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import DescriptionError
from .program import Language
from .ptx import C_NAMES, PtxEntry, parse_ptx
from .sidecar import check_arguments
from .signature import ArgumentKind, KernelArgument, Signature, parse_argument

_ELF = b"\x7fELF"
_EXAMPLE = ("const float* x", "float* y", "int n")
_TRITON_HIDDEN = ("global_scratch", "profile_scratch")  # pointers that Triton appends; null if it needs no scratch


@dataclass(frozen=True)
class CompiledKernel:
    """A compiled kernel: PTX (text) or a cubin (bytes), or Triton's or Numba's compiled object.

    `entry`, `threads` (CUDA's thread block) and `shared` (dynamic, in bytes) come from the object where it knows them.
    """

    binary: Any
    arguments: Sequence[str | KernelArgument]
    entry: str | None = None
    threads: int | tuple[int, ...] | None = None
    shared: int | None = None


@dataclass(frozen=True)
class CompiledFacts:
    """A compiled kernel, read: what `KernelSource` is made from."""

    binary: str | bytes
    language: Language
    signature: Signature
    threads: tuple[int, int, int] | None
    shared: int


@dataclass(frozen=True)
class _Image:
    """What a foreign object holds: the image to load, its PTX for checking, and how to launch it."""

    binary: str | bytes
    ptx: str | None
    entry: str | None = None
    threads: int | None = None
    shared: int = 0
    hidden: tuple[str, ...] = ()


def read_compiled(kernel: CompiledKernel) -> CompiledFacts:
    """The image, signature and launch facts of a compiled kernel; `DescriptionError` where something is missing."""
    image = _image(kernel.binary)
    origin = f"compiled kernel {kernel.entry or image.entry or ''}".rstrip()
    arguments = tuple(
        parse_argument(argument, origin=origin, position=i) if isinstance(argument, str) else argument
        for i, argument in enumerate(kernel.arguments, 1)
    )
    name, limit, required = kernel.entry or image.entry, None, None
    if image.ptx is not None:
        entry = parse_ptx(image.ptx, origin).entry(name, origin)
        arguments = _with_hidden(arguments, image.hidden, entry)
        check_arguments(arguments, entry, origin)
        name, limit, required = entry.name, entry.max_threads, entry.threads
    if name is None:
        raise DescriptionError("a cubin may hold many kernels; say which one with CompiledKernel(..., entry=)")
    if isinstance(image.binary, bytes) and name.encode(errors="replace") not in image.binary:
        raise DescriptionError(f"{origin}: the cubin has no symbol {name!r}; look at its names with cuobjdump -elf")
    language = Language.PTX if isinstance(image.binary, str) else Language.CUBIN
    threads = _extent(kernel.threads or image.threads) or required
    shared = image.shared if kernel.shared is None else kernel.shared
    return CompiledFacts(image.binary, language, Signature(name, arguments, max_threads=limit), threads, shared)


def adopt(kernel: object) -> CompiledKernel:
    """A `CompiledKernel` from another package's kernel, if that says what its arguments are."""
    arguments = _declared(kernel)
    if any(argument.startswith("const ") for argument in arguments):
        return CompiledKernel(kernel, arguments)
    if arguments or hasattr(kernel, "asm") or hasattr(kernel, "inspect_asm"):
        listed = ", ".join(f'"{argument}"' for argument in arguments or _EXAMPLE)
        raise DescriptionError(
            f"a {type(kernel).__name__} does not say which pointers it reads and which it writes; wrap it, with const "
            f"for what it only reads: CompiledKernel(kernel, [{listed}])"
        )
    raise DescriptionError(
        f"{kernel!r} is no kernel; give a library name such as 'math/vector_add', a path to a .cu, .ptx or .cubin, "
        "a CudaSource, a CompiledKernel, or a CuPy RawKernel"
    )


def _declared(kernel: object) -> list[str]:
    """Triton's own signature as C++ arguments; empty where the object has none."""
    types = getattr(getattr(kernel, "src", None), "signature", None)
    if not isinstance(types, Mapping):
        return []
    return [_triton_argument(str(name), str(kind)) for name, kind in types.items() if kind != "constexpr"]


def _triton_argument(name: str, kind: str) -> str:
    """`*kfp32` is Triton's `const float*`: k marks a pointer that is only read."""
    element = kind.lstrip("*")
    pointer = kind != element
    const = pointer and element.startswith("k")
    element = element.removeprefix("k").replace("fp", "f")
    ctype = "bool" if element in ("i1", "u1") else C_NAMES.get(element, element)
    return f"{'const ' if const else ''}{ctype}{'*' if pointer else ''} {name}"


def _image(binary: Any) -> _Image:
    if isinstance(binary, (bytes, bytearray)):
        data = bytes(binary)
        return _Image(data, None) if data.startswith(_ELF) else _text_image(_decoded(data))
    if isinstance(binary, str):
        return _text_image(binary)
    if isinstance(asm := getattr(binary, "asm", None), Mapping) and "cubin" in asm:
        return _triton(binary, asm)
    if callable(inspect := getattr(binary, "inspect_asm", None)):
        return _numba(inspect())
    raise DescriptionError(
        f"a {type(binary).__name__} is no compiled kernel; give PTX (str), a cubin (bytes), Triton's compiled kernel, "
        "or a Numba kernel that was compiled for one signature"
    )


def _decoded(data: bytes) -> str:
    try:
        return data.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        raise DescriptionError("these bytes are neither a cubin (ELF) nor PTX (text)") from None


def _text_image(ptx: str) -> _Image:
    return _Image(ptx, ptx)


def _triton(kernel: Any, asm: Mapping[str, Any]) -> _Image:
    metadata = kernel.metadata
    if size := getattr(metadata, "global_scratch_size", 0):
        raise DescriptionError(
            f"the Triton kernel {metadata.name} needs {size} bytes of scratch memory per program; only kernels without "
            "any (no device-side tensor descriptors) can be used"
        )
    threads = metadata.num_warps * getattr(metadata, "warp_size", 32)
    return _Image(bytes(asm["cubin"]), asm.get("ptx"), metadata.name, threads, metadata.shared, _TRITON_HIDDEN)


def _numba(asm: Any) -> _Image:
    texts = list(asm.values()) if isinstance(asm, Mapping) else [asm]
    if len(texts) != 1:
        raise DescriptionError(
            f"the Numba kernel is compiled for {len(texts)} signatures; compile it for one: @cuda.jit('void(...)')"
        )
    return _text_image(str(texts[0]))


def _with_hidden(
    arguments: tuple[KernelArgument, ...], hidden: tuple[str, ...], entry: PtxEntry
) -> tuple[KernelArgument, ...]:
    """The arguments and the null pointers that the compiler expects after them."""
    missing = len(entry.parameters) - len(arguments)
    extra = hidden[:missing] if 0 < missing <= len(hidden) else ()
    return arguments + tuple(
        KernelArgument(name, ArgumentKind.VALUE, "unsigned long long", default=0) for name in extra
    )


def _extent(threads: int | tuple[int, ...] | None) -> tuple[int, int, int] | None:
    if threads is None:
        return None
    x, y, z = (*((threads,) if isinstance(threads, int) else threads), 1, 1)[:3]
    return x, y, z
