"""The same tests on every device that can compute: the CPU, an emulated CUDA driver, a real GPU."""

from __future__ import annotations

from engine_fixtures import device, engine, make_engine

__all__ = ["device", "engine", "make_engine"]
