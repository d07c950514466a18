"""How blocks are put together."""

from __future__ import annotations

from .delay import Delay as Delay
from .sequential import Sequential as Sequential

__all__ = ["Delay", "Sequential"]
