"""Tensors copied as they are, or as another type."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.dtypes import parse_dtype, show
from cudagraph.errors import DescriptionError
from cudagraph.iteration import vector_threads

_ADAPTED = ("float16", "bfloat16", "float32", "float64")


class Cast(Block):
    """y = x as another type.

    x: [...] of any scalar type, y: [...] of `dtype`. Floating-point values round to the nearest; they become integers
    towards zero, at the ends of the range where they are outside of it, and NaN becomes 0; integers wrap around.
    Anything but 0 is True. Integers of 64 bits reach the half precisions as float32, as in torch. `DescriptionError`
    for a record.
    """

    def __init__(self, dtype: object) -> None:
        super().__init__()
        target = parse_dtype(dtype)
        if target.names is not None:
            raise DescriptionError(f"{type(self).__name__} gives scalar types, not {show(target)}")
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.output("y", (...,), target)
            b.kernel("layout/cast", elements=vector_threads(self.x.size), x=self.x, y=self.y, n=self.x.size)

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        target: Any = self.y.dtype
        if target.kind not in "iu" or x.dtype.kind in "iub":
            with np.errstate(over="ignore"):
                return x.astype(target)
        info = np.iinfo(target)
        wide = np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf)
        inside = (wide >= info.min) & (wide < float(info.max) + 1)
        ends = np.where(wide < 0, info.min, info.max).astype(target)
        return np.where(inside, np.where(inside, wide, 0).astype(target), ends)


class DTypeAdapter(Cast):
    """y = x as another floating-point type: float16, bfloat16, float32 or float64. x, y: [...]; one kernel.

    `DescriptionError` for a type that is none of these.
    """

    def __init__(self, dtype: object = "float32") -> None:
        name = show(parse_dtype(dtype))
        if name not in _ADAPTED:
            raise DescriptionError(f"DTypeAdapter gives {', '.join(_ADAPTED)}, not {name}")
        super().__init__(dtype)


class Clone(Block):
    """y = x in memory of its own, by one copy. x, y: [...] of any type."""

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.output("y", (...,), "T")
            b.copy(self.x, self.y)

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        return x.copy()
