"""Which source line a machine instruction came from."""

from __future__ import annotations


def source_line(binary: bytes, address: int) -> tuple[str, int] | None:
    """File and line of the instruction at `address` in a shared object; None where it does not tell."""
    return None
