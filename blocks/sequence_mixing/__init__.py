"""What mixes positions: attention."""

from __future__ import annotations

__all__ = []
