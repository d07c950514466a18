"""The command line: demo, doctor, blocks, kernels, bench, fuzz, cache."""

from __future__ import annotations

from .app import main as main
