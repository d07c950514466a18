"""What a measurement ran on, for the record."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cudagraph as cg

_PACKAGES = (
    "numpy torch triton transformers scipy psann cupy-cuda12x cupy-cuda13x warp-lang cuda-core cuda-bindings "
    "nvmath-python nvidia-cuda-nvrtc nvidia-cuda-nvrtc-cu12 nvidia-cublas nvidia-cublas-cu12"
).split()
_VARIABLES = ("CUDAGRAPH_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def environment(device: str) -> dict[str, Any]:
    """Device, driver, packages, threads, and the commit when this is a checkout."""
    with cg.CudaEngine(device) as engine:
        kind, description = engine.device.name, engine.device.description
        threads = engine.environment.threads or os.cpu_count()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "device": kind,
        "description": description,
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,  # of others, before it began
        "threads": threads,
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "gpu": gpu() if kind == "cuda" else {},
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cudagraph": cg.__version__,
        "commit": commit(),
        "packages": packages(),
    }


def packages() -> dict[str, str]:
    """Versions of what is measured, and measured against."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """The CPU's name."""
    file = Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def gpu() -> dict[str, str]:
    """Name, driver, memory and clocks of the first GPU, as nvidia-smi says; empty without it."""
    wanted = ("name", "driver_version", "memory.total", "clocks.max.sm", "clocks.max.mem", "power.limit")
    text = _output("nvidia-smi", "-i", "0", f"--query-gpu={','.join(wanted)}", "--format=csv,noheader")
    values = [value.strip() for value in text.split(",")]
    return dict(zip(wanted, values, strict=True)) if len(values) == len(wanted) else {}


def commit() -> str:
    """The checkout's commit, with "+" when files differ from it; empty for an installed package."""
    root = Path(cg.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""
    revision = _output("git", "-C", str(root), "rev-parse", "--short=10", "HEAD").strip()
    changed = _output("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no").strip()
    return revision + "+" * bool(changed)


def _output(*command: str) -> str:
    """What a command prints; nothing when it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
