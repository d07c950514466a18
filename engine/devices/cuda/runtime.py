"""What building and running graphs on one device needs, handed around as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...plan import Buffer
from .context import PrimaryContext
from .deferred import Deferred
from .driver import Driver
from .libraries import CudaOperation, LibraryContext
from .modules import CudaKernel


@dataclass(frozen=True, slots=True)
class Runtime:
    """One device's driver, context, streams and tables."""

    driver: Driver
    context: PrimaryContext
    stream: Any  # frames and transfers
    side: Any  # captures and their preparations
    deferred: Deferred
    library: LibraryContext
    operations: Mapping[str, Callable[[LibraryContext], CudaOperation]]
    view: Callable[[int, tuple[int, ...], np.dtype[Any], object], object]
    condition_kernel: Callable[[], CudaKernel]  # sets a conditional node's value from device memory


@dataclass(slots=True)
class Storage:
    """Where the buffers of a plan lie now. Works read from it; `CudaExecutable.set_address` writes."""

    buffers: Sequence[Buffer]
    addresses: list[int]
