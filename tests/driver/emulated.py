"""Builds the emulated CUDA driver and puts it in front of the real one in this process.

    driver = emulated.load(runtime_path)      # before the first CUDA call
    ...                                       # cuda.bindings, cuda.core and nvmath now run on the CPU
    assert not driver.live_objects()

It needs a C++ compiler and the CUDA wheels of the running Python, whose headers it is built against.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
ABI = HERE.parents[1] / "engine" / "devices" / "host" / "runtime"
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra")
_RED_ZONE = ("-mno-red-zone",) if platform.machine() in ("x86_64", "AMD64") else ()  # the runtime switches stacks
_CUDNN = "libcudnn.so.9"
KINDS = (
    *("allocations", "bytes", "pinned", "pools", "streams", "events", "modules", "libraries"),
    *("graphs", "execs", "user_objects", "pending"),
)


class EmulatedDriver:
    """The emulated driver of this process: what tests may steer and count."""

    def __init__(self, library: ctypes.CDLL, folder: Path) -> None:
        self._library = library
        self.folder = folder  # with the libraries, and `kernels.so`, a module of test kernels
        library.cudagraph_driver_live.restype = ctypes.c_uint64
        library.cudagraph_driver_calls.restype = ctypes.c_char_p
        library.cudagraph_driver_message.restype = ctypes.c_char_p
        library.cudagraph_driver_fail.argtypes = [ctypes.c_char_p, ctypes.c_uint64, ctypes.c_int]

    def live_objects(self) -> dict[str, int]:
        """How many objects of each kind exist; kinds without any are left out."""
        counts = {kind: self._library.cudagraph_driver_live(kind.encode()) for kind in KINDS}
        return {kind: count for kind, count in counts.items() if count}

    def cudnn_objects(self) -> int:
        """How many handles and descriptors the emulated cuDNN has."""
        library = ctypes.CDLL(str(self.folder / _CUDNN))
        library.cudagraph_cudnn_live.restype = ctypes.c_size_t
        return library.cudagraph_cudnn_live()

    def fail(self, function: str, nth: int = 1, code: int = 999) -> None:
        """Make the nth call of `function` from now on return `code` and do nothing."""
        self._library.cudagraph_driver_fail(function.encode(), nth, code)

    @property
    def calls(self) -> dict[str, int]:
        """How often each driver function was called, by its name without the version suffix."""
        lines = self._library.cudagraph_driver_calls().decode().splitlines()
        return {name: int(count) for name, count in (line.split() for line in lines)}

    @property
    def message(self) -> str:
        """What the sticky error was about; empty when there is none."""
        return self._library.cudagraph_driver_message().decode()

    def reset(self) -> None:
        """Forget counts, injected faults and the sticky error."""
        self._library.cudagraph_driver_reset()

    def set(self, name: str, value: object) -> None:
        """Change a setting: strict, log, order, depth, memory, version or capability."""
        if not self._library.cudagraph_driver_set(name.encode(), str(value).encode()):
            raise KeyError(name)

    def set_memory_limit(self, nbytes: int) -> None:
        """Device memory beyond this is OUT_OF_MEMORY."""
        self.set("memory", nbytes)


def load(
    runtime_path: str | Path | None = None, cache_dir: str | Path | None = None, *, libraries: bool = True
) -> EmulatedDriver:
    """Build what is missing and preload it; kernels run in `runtime_path`, else in a runtime library built here."""
    cache = Path(cache_dir) if cache_dir else Path(tempfile.gettempdir()) / f"cudagraph-driver-{os.getuid()}"
    folder = build(cache)
    library = ctypes.CDLL(str(folder / "libcuda.so.1"), mode=ctypes.RTLD_GLOBAL)
    driver = EmulatedDriver(library, folder)
    driver.set("runtime", runtime_path or folder / "libruntime.so")
    if libraries:
        for name in (_cublaslt_name(), _CUDNN):
            ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
    return driver


def build(cache: Path) -> Path:
    """The folder with the libraries for the CUDA wheels of this Python; compiled unless the cache has them."""
    include, compiler = cuda_include(), cxx()
    folder = cache / _digest(include, compiler)
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=cache))
    try:
        _compile(include, compiler, work)
        work.rename(folder)
    except OSError:
        if not folder.exists():  # otherwise another process was faster
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def _compile(include: Path, compiler: str, work: Path) -> None:
    """Make the libraries in `work`."""
    apart = ("kernels", "cublaslt", "cudnn")
    sources = sorted(path for path in HERE.glob("*.cpp") if not path.stem.startswith(apart))
    _tables().generate(include, sources, work, compiler)
    search = [f"-I{work}", f"-I{HERE}", f"-I{ABI}", f"-isystem{include}"]
    _link_batches(compiler, search, sources, work)
    driver = [*search, f"-L{work}", "-l:libcuda.so.1"]
    _shared(compiler, [HERE / "cublaslt.cpp"], work / _cublaslt_name(), driver)
    _shared(compiler, sorted(HERE.glob("cudnn*.cpp")), work / _CUDNN, driver)
    _shared(compiler, [HERE / "kernels.cpp"], work / "kernels.so", search)
    _shared(compiler, [ABI / "runtime.cpp"], work / "libruntime.so", ["-pthread", *_RED_ZONE])


def _link_batches(compiler: str, search: Sequence[str], sources: Sequence[Path], work: Path) -> None:
    """Compile the sources in as many batches as there are cores: reading the headers once per batch saves the most."""
    cores = max(1, min(os.cpu_count() or 1, 8))
    heaviest_first = sorted(sources, key=lambda path: -path.stat().st_size)
    batches = [work / f"batch{i}.cpp" for i in range(min(cores, len(sources)))]
    for i, batch in enumerate(batches):
        batch.write_text("".join(f'#include "{path}"\n' for path in heaviest_first[i :: len(batches)]))

    def compile_one(source: Path) -> Path:
        target = source.with_suffix(".o")
        _run([compiler, *FLAGS, *search, "-c", "-o", str(target), str(source)])
        return target

    with ThreadPoolExecutor(cores) as pool:
        objects = list(pool.map(compile_one, batches))
    stubs = [work / "stubs.cpp", *objects]
    _shared(compiler, stubs, work / "libcuda.so.1", [*search, "-ldl"])


def _shared(compiler: str, inputs: Sequence[Path], target: Path, options: Sequence[str]) -> None:
    names = [str(path) for path in inputs]
    _run([compiler, *FLAGS, "-shared", f"-Wl,-soname,{target.name}", "-o", str(target), *names, *options])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"building the emulated driver failed: {' '.join(command)}\n{done.stderr}")


def cxx() -> str:
    """The C++ compiler: $CXX, g++ or clang++."""
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        if name and shutil.which(name):
            return name
    raise RuntimeError("the emulated driver needs a C++ compiler: install g++ or clang++")


def cuda_major() -> str:
    """12 or 13: what the installed cuda-bindings are for."""
    return metadata.version("cuda-bindings").split(".")[0]


def cuda_include() -> Path:
    """The folder of `cuda.h` that the CUDA runtime wheel of this Python brought."""
    parts = "nvidia/cu13/include" if cuda_major() == "13" else "nvidia/cuda_runtime/include"
    return _in_site_packages(f"{parts}/cuda.h", "nvidia-cuda-runtime").parent


def _cublaslt_name() -> str:
    return f"libcublasLt.so.{cuda_major()}"


def _in_site_packages(name: str, wheel: str) -> Path:
    for entry in sys.path:
        if (path := Path(entry) / name).exists():
            return path
    raise RuntimeError(f"{name} is in none of the folders of sys.path: install {wheel}")


def _digest(include: Path, compiler: str) -> str:
    hasher = hashlib.sha256(repr((compiler, FLAGS, str(include))).encode())
    files = [*HERE.glob("*.cpp"), *HERE.glob("*.h"), *ABI.glob("*.cpp"), *ABI.glob("*.h")]
    files += [HERE / "symbols.py", HERE / "emulated.py", include / "cuda.h"]
    for path in sorted(files):
        hasher.update(path.read_bytes())
    return hasher.hexdigest()[:16]


def _tables():
    """The generator next to this file, which is no package."""
    spec = importlib.util.spec_from_file_location("cudagraph_driver_symbols", HERE / "symbols.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
