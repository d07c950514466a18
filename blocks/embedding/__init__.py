"""Tokens, patches and positions as vectors."""

from __future__ import annotations

__all__ = []
