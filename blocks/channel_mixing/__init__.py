"""What mixes the features of one position: linear layers and feed-forward networks."""

from __future__ import annotations

from .linear import Linear as Linear

__all__ = ["Linear"]
