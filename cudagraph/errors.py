"""The one family of errors. Every message says what is wrong, where, what was given and what would work."""

from __future__ import annotations

from typing import Any


class CudaGraphError(Exception):
    """Base of every error this package raises on purpose. `block` is the block it belongs to, where one is known."""

    block: Any = None


class DescriptionError(CudaGraphError):
    """A block, a wire or a value was described wrongly (names, kinds, ranges, ownership)."""


class ShapeError(CudaGraphError):
    """Shapes or dtypes of two ends contradict each other, or cannot be known."""


class CompileError(CudaGraphError):
    """A kernel's source did not compile, or no compiler was found.

    `log` holds the compiler's own output, `origin` the file (or block) that the source came from.
    """

    def __init__(self, message: str, *, origin: str = "", log: str = "") -> None:
        super().__init__(message if not log else f"{message}\n{log}")
        self.origin = origin
        self.log = log


class DeviceError(CudaGraphError):
    """The device (a GPU, its driver, or the CPU that stands in for one) refused or failed.

    `node` is the index of the plan's node that failed, where one is known.
    """

    def __init__(self, message: str, *, node: int | None = None) -> None:
        super().__init__(message)
        self.node = node
