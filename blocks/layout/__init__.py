"""Shape, order and type of tensors: a view where memory order allows, else one kernel."""

from __future__ import annotations

__all__ = []
