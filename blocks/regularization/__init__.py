"""What training adds noise with: counter-based, seeded, switched live."""

from __future__ import annotations

__all__ = []
