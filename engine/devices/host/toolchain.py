"""The machine's C++ compiler, and how kernels and the runtime library are compiled with it."""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path

from cudagraph.errors import CompileError
from cudagraph.program import Language, Program

from .messages import readable, refusal
from .translate import translate

RUNTIME = Path(__file__).with_name("runtime")
"""The folder of the headers that kernels are compiled with, and of the runtime library's source."""

_NO_COMPILER = (
    "the host device compiles kernels with a C++ compiler, and none was found (looked for CUDAGRAPH_CXX, g++, clang++, "
    "c++ and zig); pip install 'cudagraph[host]' brings one, or install g++ or clang"
)


class Family(StrEnum):
    """Whose command line a compiler understands."""

    GCC = "gcc"
    CLANG = "clang"
    ZIG = "zig"


@dataclass(frozen=True)
class Toolchain:
    """A C++ compiler: the words to call it with, and its first line of `--version`."""

    command: tuple[str, ...]
    family: Family
    version: str

    @property
    def name(self) -> str:
        """For people: "g++ 12.2.0"."""
        number = re.search(r"\d+\.\d+(\.\d+)?", re.sub(r"\([^)]*\)", "", self.version) or self.version)
        program = "zig" if self.family is Family.ZIG else Path(self.command[0]).name
        return f"{program} {number[0] if number else ''}".strip()

    def flags(self, *, sanitize: bool, fibers: bool, recursion: bool = False) -> list[str]:
        """The options for kernels."""
        flags = [*_LANGUAGE, *_NUMERICS, *_machine(), "-Og" if sanitize else "-O3", f"-I{RUNTIME}"]
        if self.family is Family.GCC:
            flags.append("-fno-gnu-unique")  # or static shared memory of equal names is one across modules
        if fibers and not sanitize:
            flags += self._frame_limit()
        if recursion:
            flags += self._watch_calls()
        if sanitize:
            flags += _SANITIZE[Family.GCC if self.family is Family.GCC else Family.CLANG]
        return flags

    def runtime_flags(self) -> list[str]:
        """The options for the runtime library."""
        return [*_LANGUAGE, "-O2", "-pthread", f"-I{RUNTIME}"]

    def _libraries(self) -> list[str]:
        """No C++ library, whichever compiler: none need be installed, and zig need not build its own first."""
        if sys.platform == "darwin":
            return ["-nostdlib++"]
        system = ["-Wl,-z,defs,-Bsymbolic", "-lm", "-lpthread", "-ldl"]
        if self.family is Family.GCC:
            return ["-nodefaultlibs", *system, "-lc", "-lgcc"]
        return ["-nostdlib++", *system]

    def _watch_calls(self) -> list[str]:
        """Call our hook at the entry of each function, the runtime's small ones excepted."""
        if self.family is Family.GCC:
            return ["-finstrument-functions", f"-finstrument-functions-exclude-file-list={RUNTIME}"]
        return ["-finstrument-functions-after-inlining"]

    def _frame_limit(self) -> list[str]:
        if self.family is Family.GCC:
            return ["-Werror=frame-larger-than=32768"]
        return ["-Wframe-larger-than=32768", "-Werror=frame-larger-than"]

    def run(self, options: Sequence[str], source: str) -> tuple[bytes | None, str]:
        """The shared object made from source text, or None, and the compiler's messages."""
        with tempfile.TemporaryDirectory(prefix="cudagraph-") as folder:
            target = Path(folder, "module.so")
            command = [*self.command, *options, "-o", str(target), "-x", "c++", "-", "-x", "none", *self._libraries()]
            result = subprocess.run(command, input=source.encode(), capture_output=True, check=False)
            log = result.stderr.decode(errors="replace")
            return (target.read_bytes() if result.returncode == 0 else None), log


_LANGUAGE = (
    "-std=c++17 -fPIC -shared -nostdinc++ -fvisibility=hidden -fno-exceptions -fno-rtti -fno-threadsafe-statics "
    "-fno-strict-aliasing -fsigned-char -fno-stack-protector -fno-asynchronous-unwind-tables"
).split()
_NUMERICS = "-fno-math-errno -fno-trapping-math -ffp-contract=fast".split()
_SANITIZE = {
    Family.GCC: "-gdwarf-4 -fsanitize=kernel-address --param asan-instrumentation-with-call-threshold=0 "
    "--param asan-stack=0 --param asan-globals=0".split(),
    Family.CLANG: "-gdwarf-4 -fsanitize=kernel-address -mllvm -asan-instrumentation-with-call-threshold=0 "
    "-mllvm -asan-stack=0 -mllvm -asan-globals=0".split(),
}


def _machine() -> list[str]:
    if platform.machine() in ("x86_64", "AMD64"):
        return ["-march=native", "-mno-red-zone"]
    return ["-mcpu=native"]


def find_toolchain(cxx: str | None = None) -> Toolchain:
    """The compiler to use: the command `cxx`, else g++, clang++, c++, else zig. `CompileError` says how to get one."""
    if cxx:
        toolchain = _probe(tuple(shlex.split(cxx)))
        if toolchain is None:
            raise CompileError(f"CUDAGRAPH_CXX is {cxx!r}, which is no C++ compiler that runs here")
        return toolchain
    for name in ("g++", "clang++", "c++"):
        if shutil.which(name) and (toolchain := _probe((name,))):
            return toolchain
    if importlib.util.find_spec("ziglang") and (toolchain := _probe((sys.executable, "-m", "ziglang", "c++"))):
        return toolchain
    raise CompileError(_NO_COMPILER)


@cache
def _probe(command: tuple[str, ...]) -> Toolchain | None:
    is_zig = "ziglang" in command or Path(command[0]).name.startswith("zig")
    if is_zig:  # `zig c++` would build its C++ library first
        command = tuple("cc" if word == "c++" else word for word in command)
    try:
        result = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = result.stdout.partition("\n")[0]
    if result.returncode or not version:
        return None
    family = Family.ZIG if is_zig else Family.CLANG if "clang" in version else Family.GCC
    return Toolchain(command, family, version)


class HostCompiler:
    """Compiles CUDA C++ to shared objects for this machine's CPU. Safe to call from several threads at once."""

    def __init__(self, *, cxx: str | None = None, sanitize: bool = False) -> None:
        self._cxx = cxx
        self.sanitize = sanitize

    @cached_property
    def toolchain(self) -> Toolchain:
        """The compiler in use; `CompileError` when there is none."""
        return find_toolchain(self._cxx)

    def key(self, program: Program) -> str:
        """Cache key: the program, the compiler and its options, this CPU's features, and the runtime's files."""
        return f"{program.digest}-host-{self._fingerprint}"

    @cached_property
    def _fingerprint(self) -> str:
        flags = self.toolchain.flags(sanitize=self.sanitize, fibers=True)
        parts = (*self.toolchain.command, self.toolchain.version, *flags, cpu_features(), runtime_digest())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def compile(self, program: Program) -> bytes:
        """The shared object; `CompileError` with the compiler's message, in lines of the user's own files."""
        if program.language is not Language.CUDA:
            raise refusal(program)
        translation = translate(program, sanitize=self.sanitize)
        options = self.toolchain.flags(
            sanitize=self.sanitize, fibers=translation.fibers, recursion=translation.recursion
        )
        binary, log = self.toolchain.run(options, translation.text)
        if binary is None:
            raise readable(program, log, RUNTIME)
        return binary


@cache
def runtime_digest() -> str:
    """A name for the contents of the runtime's files."""
    hasher = hashlib.sha256()
    for path in sorted(RUNTIME.iterdir()):
        if path.suffix in (".h", ".cpp"):
            hasher.update(path.name.encode() + b"\0" + path.read_bytes())
    hasher.update(Path(__file__).with_name("translate.py").read_bytes())
    return hasher.hexdigest()[:16]


@cache
def cpu_features() -> str:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
