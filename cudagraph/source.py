"""Where kernels come from: files, names in the kernel library, strings, binaries and other packages' kernel objects."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from .compiled import CompiledKernel, adopt, read_compiled
from .errors import DescriptionError
from .include import inline_file, inline_text, read_source
from .program import Language, Program
from .ptx import parse_ptx
from .sidecar import SidecarFacts, check_against_ptx, facts_of_entry, parse_sidecar
from .signature import Signature, parse_signature

KERNELS = Path(__file__).parent / "kernels"
"""The kernel library that comes with the package."""

_OWN_INCLUDE = re.compile(r'#\s*include\s*"')
_LANGUAGES = {".cu": Language.CUDA, ".ptx": Language.PTX, ".cubin": Language.CUBIN}


@dataclass(frozen=True)
class CudaSource:
    """CUDA C++ in a string. `entry` picks one kernel where the text has several, `name` is for messages."""

    text: str
    entry: str | None = None
    name: str = "<string>"


@dataclass(frozen=True)
class KernelSource:
    """One kernel, found and read. `threads` and `shared` (bytes) are what a binary's facts say, for launching it."""

    text: str | bytes
    origin: str
    language: Language
    signature: Signature
    files: tuple[Path, ...] = ()  # what to watch for changes, the main file first
    threads: tuple[int, int, int] | None = None
    shared: int = 0
    facts: SidecarFacts | None = None
    _programs: dict[tuple[tuple[str, str], ...], Program] = field(default_factory=dict, repr=False, compare=False)

    def program(self, define: tuple[tuple[str, str], ...] = ()) -> Program:
        """What to compile, with these macros. The same macros give the same object; a binary takes none."""
        if define and self.language is not Language.CUDA:
            names = ", ".join(name for name, _ in define)
            raise DescriptionError(f"{self.origin} is compiled already, so macros cannot change it: drop {names}")
        if define not in self._programs:
            self._programs[define] = Program(
                self.text, self.signature.entry, self.origin, self.language, define, self.files
            )
        return self._programs[define]


def resolve_source(kernel: object, *, folders: Sequence[Path] = ()) -> KernelSource:
    """The kernel behind a library name, a path, a `CudaSource`, a `CompiledKernel` or a CuPy, Triton or Numba kernel.

    Relative paths and the includes of strings are looked up in `folders`, then in the kernel library.
    """
    if isinstance(kernel, (str, os.PathLike)):
        return _FILES.load(os.fspath(kernel), tuple(folders))
    if isinstance(kernel, CudaSource):
        return _from_text(kernel, folders)
    if isinstance(kernel, KernelSource):
        return kernel
    if isinstance(kernel, CompiledKernel):
        return _from_compiled(kernel)
    if isinstance(code := getattr(kernel, "code", None), str) and isinstance(
        name := getattr(kernel, "name", None), str
    ):
        defines = _macros(getattr(kernel, "options", ()))
        return _from_text(CudaSource(defines + code, name, f"RawKernel {name}"), folders)
    return _from_compiled(adopt(kernel))


def _from_text(source: CudaSource, folders: Sequence[Path]) -> KernelSource:
    if _OWN_INCLUDE.search(source.text):
        return _read_text(source, (*folders, KERNELS))
    return _read_text_once(source)


def _read_text(source: CudaSource, roots: Sequence[Path]) -> KernelSource:
    text, files = inline_text(source.text, source.name, roots)
    signature = parse_signature(text, entry=source.entry, origin=source.name)
    return KernelSource(text, source.name, Language.CUDA, signature, files)


@lru_cache(maxsize=1024)
def _read_text_once(source: CudaSource) -> KernelSource:
    """A string that depends on no file: many blocks often share one, such as an expression's kernel."""
    return _read_text(source, ())


def _from_compiled(kernel: CompiledKernel) -> KernelSource:
    facts = read_compiled(kernel)
    origin = f"compiled kernel {facts.signature.entry}"
    return KernelSource(facts.binary, origin, facts.language, facts.signature, (), facts.threads, facts.shared)


def _macros(options: Sequence[str]) -> str:
    """The `-DNAME=value` of a compiler's options as source lines."""
    pairs = (option[2:].partition("=") for option in options if option.startswith("-D"))
    lines = [f"#define {name} {value or 1}\n" for name, _, value in pairs]
    return "".join(lines) + "#line 1\n" if lines else ""


def _candidates(name: str, folders: Sequence[Path]) -> list[str]:
    """The files that a name or a path may mean, the preferred one first."""
    file = name if os.path.splitext(name)[1] in _LANGUAGES else f"{name}.cu"
    return [file] if os.path.isabs(file) else [os.path.join(folder, file) for folder in (*folders, KERNELS)]


def _not_found(name: str, folders: list[Path]) -> str:
    if os.path.isabs(name):
        return f"there is no kernel file {name}"
    names = [_shown(path, KERNELS) for path in KERNELS.rglob("*.cu")]
    # Only the folder that the name points into: a block may live in a folder with anything below it.
    beside = [(folder / name).parent for folder in folders]
    for folder, inside in zip(folders, beside, strict=True):
        names += [_shown(path, folder) for path in _listed(inside) if path.suffix in _LANGUAGES]
    close = difflib.get_close_matches(name, dict.fromkeys(names), 3, 0.5)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "`cudagraph kernels` lists the library's."
    looked = "\n".join(f"  {folder}" for folder in dict.fromkeys(folders))
    return f"there is no kernel {name!r}; {hint} Looked in\n{looked}"


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _shown(path: Path, folder: Path) -> str:
    """How a user names a file: the library's `.cu` files without their suffix."""
    relative = Path(os.path.relpath(path, folder))
    return (relative.with_suffix("") if relative.suffix == ".cu" else relative).as_posix()


Stamp = tuple[int, int]  # modification time in ns, size


def _stamp(path: str) -> Stamp | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return (status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else None


def _unchanged(seen: tuple[tuple[str, Stamp | None], ...]) -> bool:
    return all(_stamp(path) == stamp for path, stamp in seen)


class _Files:
    """Kernel files read so far. One is read again when a file that it is made of, or one preferred to it, changed."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, tuple[Path, ...]], tuple[KernelSource, tuple[tuple[str, Stamp | None], ...]]] = {}

    def load(self, name: str, folders: tuple[Path, ...]) -> KernelSource:
        """The kernel that a name or path means."""
        if (known := self._read.get((name, folders))) is not None and _unchanged(known[1]):
            return known[0]
        candidates = _candidates(name, folders)
        stamps = {path: _stamp(path) for path in candidates}
        chosen = next((path for path in candidates if stamps[path] is not None), None)
        if chosen is None:
            raise DescriptionError(_not_found(name, [Path(folder) for folder in (*folders, KERNELS)]))
        source = _read_file(Path(chosen), (*folders, KERNELS))
        preferred = candidates[: candidates.index(chosen)]
        files = (chosen, *map(str, source.files[1:]))
        seen = tuple((path, stamps.get(path) or _stamp(path)) for path in (*preferred, *files))
        self._read[name, folders] = (source, seen)
        return source


_FILES = _Files()  # one per process, like `linecache`: it only ever mirrors what is on disk


def _read_file(path: Path, roots: Sequence[Path]) -> KernelSource:
    language = _LANGUAGES[path.suffix]
    if language is not Language.CUDA:
        return _read_binary(path, language)
    text, files = inline_file(path, roots)
    return KernelSource(text, str(path), language, parse_signature(text, origin=str(path)), files)


def _read_binary(path: Path, language: Language) -> KernelSource:
    """A `.ptx` or `.cubin` with what its sidecar says, checked against each other."""
    beside = next((file for file in (path.with_suffix(".json"), Path(f"{path}.json")) if file.is_file()), None)
    facts = parse_sidecar(read_source(beside), str(beside)) if beside else None
    binary = read_source(path) if language is Language.PTX else path.read_bytes()
    files = (path, beside) if beside else (path,)
    if isinstance(binary, str):
        facts = _ptx_facts(binary, facts, path, str(beside or path))
    if facts is None or facts.entry is None:
        raise DescriptionError(_needs_sidecar(path, facts))
    if isinstance(binary, bytes) and facts.entry.encode(errors="replace") not in binary:
        raise DescriptionError(f"{path} has no symbol {facts.entry!r}, which {beside} names as its entryPoint")
    signature = Signature(facts.entry, facts.arguments, max_threads=facts.max_threads)
    return KernelSource(binary, str(path), language, signature, files, facts.threads, facts.shared, facts)


def _needs_sidecar(path: Path, facts: SidecarFacts | None) -> str:
    if facts is not None:
        return f'{path.with_suffix(".json")} does not name the kernel; add "entryPoint": "..."'
    example = (
        '{"entryPoint": "k", "blockSize": 256, "parameters": [{"name": "x", "type": "float*", "direction": "in"}]}'
    )
    return (
        f"{path} does not say what its arguments are; put a JSON file {path.with_suffix('.json')} beside it: {example}"
    )


def _ptx_facts(text: str, facts: SidecarFacts | None, path: Path, origin: str) -> SidecarFacts:
    module = parse_ptx(text, str(path))
    if facts is None:
        return facts_of_entry(module.entry(None, str(path)), str(path), path.with_suffix(".json").name)
    # A rich sidecar's name may be a title, so it counts only if the PTX has no other kernel to mean.
    entry = module.entries[0] if len(module.entries) == 1 and facts.titled else module.entry(facts.entry, origin)
    check_against_ptx(facts, entry, origin)
    return replace(
        facts,
        entry=entry.name,
        threads=facts.threads or entry.threads,
        max_threads=facts.max_threads or entry.max_threads,
        uses_dynamic_shared=facts.uses_dynamic_shared or module.dynamic_shared,
    )
