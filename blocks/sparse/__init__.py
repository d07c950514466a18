"""Sparse layers on grids."""

from __future__ import annotations

from .connectivity import GeoConnectivity as GeoConnectivity

__all__ = ["GeoConnectivity"]
