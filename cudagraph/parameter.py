"""Hot scalars: values that change while the graph runs, without rebuilding anything."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from .dtypes import VECTOR_TYPES, packer, parse_dtype
from .errors import DescriptionError

if TYPE_CHECKING:
    from .block import Block
    from .dirty import DirtyTracker

V = TypeVar("V")


class Parameter(Generic[V]):
    """A hot scalar (or short vector such as `float3`) of a block.

    Setting `value` checks type and range at once and reaches the device with the next frame. The cost does not depend
    on how many parameters change. `low` and `high` are inclusive bounds in the parameter's own unit.
    """

    __slots__ = (
        "_callbacks", "_convert", "_pack", "_tracker", "_value",
        "block", "dtype", "high", "low", "mirror", "name", "slot", "type_name", "width",
    )  # fmt: skip

    def __init__(
        self, block: Block, name: str, default: V, dtype: object, low: float | None = None, high: float | None = None
    ) -> None:
        self.block = block
        self.name = name
        self.dtype, self.width = _element_type(dtype)
        self.type_name = f"{dtype}" if self.width > 1 else self.dtype.name
        self.low, self.high = _bounds(self.dtype, low, high, self.path)
        self._convert = _converter(self.dtype, self.width)
        self._pack = packer(self.dtype)
        self._callbacks: tuple[Callable[[V], object], ...] = ()
        self._tracker: DirtyTracker | None = None
        self.mirror: Any = None  # the engine's copy of the parameter block, when this parameter lives there
        self.slot: int | slice = 0
        self._value: V = self._checked(default)

    @property
    def value(self) -> V:
        """The current value. Assigning an equal value costs nothing and marks nothing."""
        return self._value

    @value.setter
    def value(self, value: V) -> None:
        value = self._checked(value)
        if value == self._value and repr(value) == repr(self._value):  # 0.0 equals -0.0, but has other bits
            return
        self._value = value
        if self.mirror is not None:
            self.mirror[self.slot] = value
        if self._tracker is not None:
            self._tracker.mark_parameter(self)
        for callback in self._callbacks:
            callback(value)

    def on_change(self, callback: Callable[[V], object]) -> Callable[[], None]:
        """Call `callback(value)` after each change, in the thread that made it. Returns a function that stops it."""
        self._callbacks = (*self._callbacks, callback)

        def stop() -> None:
            self._callbacks = tuple(known for known in self._callbacks if known is not callback)

        return stop

    @property
    def path(self) -> str:
        """Full name, such as `decoder/3/attn.scale`."""
        return f"{self.block.path}.{self.name}"

    def pack(self) -> bytes:
        """The value's bytes, as the kernel sees them."""
        if self.width == 1:
            return self._pack(self._value)
        return np.asarray(self._value, self.dtype).tobytes()

    def attach(self, tracker: DirtyTracker | None) -> None:
        """Report changes to this tracker from now on (None: to nobody)."""
        self._tracker = tracker
        self.mirror = None

    def _checked(self, value: Any) -> Any:
        try:
            result = self._convert(value)
        except (TypeError, ValueError, OverflowError):
            raise DescriptionError(f"{self.path} is {self.type_name}; it cannot take {value!r}") from None
        if self.width == 1:
            if self.low <= result <= self.high or self._takes_nan(result):
                return result
        elif all(self.low <= item <= self.high or self._takes_nan(item) for item in result):
            return result
        raise DescriptionError(f"{self.path} = {value!r} is out of range: {self.low} to {self.high} ({self.type_name})")

    def _takes_nan(self, item: Any) -> bool:
        """NaN is in no range, so it passes only where none was given."""
        return item != item and self.low == -np.inf and self.high == np.inf

    def __repr__(self) -> str:
        return f"{self.path}: {self.type_name} = {self._value}"


def _element_type(dtype: object) -> tuple[np.dtype[Any], int]:
    if isinstance(dtype, str) and dtype in VECTOR_TYPES:
        return VECTOR_TYPES[dtype]
    element = parse_dtype(dtype)
    if element.names:
        raise DescriptionError(f"a parameter is a scalar or a short vector such as float3, not {element}")
    return element, 1


def _bounds(dtype: np.dtype[Any], low: float | None, high: float | None, path: str) -> tuple[Any, Any]:
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        least, most = int(limits.min), int(limits.max)
    elif dtype.kind == "b":
        least, most = False, True
    else:
        least, most = -np.inf, np.inf
    bounds = (least if low is None else max(low, least), most if high is None else min(high, most))
    if not bounds[0] <= bounds[1]:
        raise DescriptionError(f"{path}: no {dtype.name} is between low={low} and high={high}")
    return bounds


def _converter(dtype: np.dtype[Any], width: int) -> Callable[[Any], Any]:
    scalar: Callable[[Any], Any] = _to_float
    if dtype.kind in "iu":
        scalar = operator.index
    elif dtype.kind == "b":
        scalar = _to_bool
    if width == 1:
        return scalar

    def vector(value: Sequence[Any]) -> tuple[Any, ...]:
        items = tuple(scalar(item) for item in value)
        if len(items) != width:
            raise ValueError(f"{width} elements are wanted")
        return items

    return vector


def _to_float(value: Any) -> float:
    if isinstance(value, (str, bytes, bytearray)):  # float() would read the number in them
        raise TypeError("not a number")
    return float(value)


def _to_bool(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)) or value in (0, 1):
        return bool(value)
    raise TypeError("not a bool")
