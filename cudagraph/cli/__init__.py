"""The command line: demo, doctor, kernels, cache."""

from __future__ import annotations

from .app import main as main
