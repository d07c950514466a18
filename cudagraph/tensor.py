"""Tensors that a block owns: weights, states, and scratch memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .dtypes import C_TYPES, show
from .errors import DescriptionError, ShapeError
from .shape import DimSpec, PortCount, Shape, show_shape

if TYPE_CHECKING:
    from .block import Block
    from .dirty import DirtyTracker

Init = Callable[[tuple[int, ...], np.dtype[Any]], np.ndarray]
"""Makes the first contents from a shape and a dtype. Where one is wanted, a scalar or an array does too."""


def initial(init: Any, shape: tuple[int, ...], dtype: np.dtype[Any], subject: str) -> np.ndarray:
    """First contents, from an initialiser, a scalar or an array of exactly that shape."""
    values = init(shape, dtype) if callable(init) else init
    if values is None:
        return np.zeros(shape, dtype)
    array = np.asarray(values)
    if array.shape != shape and array.ndim:
        raise ShapeError(
            f"{subject} has the shape {show_shape(shape)}; its initial value has {show_shape(array.shape)}"
        )
    return np.ascontiguousarray(np.broadcast_to(array, shape).astype(dtype))


class LiveTensors(Protocol):
    """What a running engine offers tensors that change on the device."""

    def read(self, tensor: Tensor) -> np.ndarray:
        """The device's contents."""
        ...


class Tensor:
    """A tensor owned by a block. Not a port: it has no wire."""

    __slots__ = ("block", "dtype", "name", "shape", "__weakref__")

    def __init__(self, block: Block, name: str, shape: tuple[DimSpec, ...], dtype: np.dtype[Any] | str) -> None:
        self.block = block
        self.name = name
        self.shape = Shape(shape, self)  # type: ignore[arg-type]  # expressions only ask for name and shape
        self.dtype = dtype

    @property
    def path(self) -> str:
        """Full name, such as `decoder/3/attn.weight`."""
        return f"{self.block.path}.{self.name}"

    @property
    def size(self) -> PortCount:
        """Number of elements, as an expression."""
        return PortCount(self, "size")  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"{self.path}: {show(self.dtype)}{show_shape(tuple(self.shape))}"


class Scratch(Tensor):
    """Inner memory of a block, undefined at the start of each frame."""

    __slots__ = ()


class Weight(Tensor):
    """A constant tensor that can be replaced live: a new value is one copy into the same memory."""

    __slots__ = ("_check", "_init", "_tracker", "_value")

    def __init__(
        self,
        block: Block,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        init: Any,
        check: Callable[[np.ndarray], None] | None = None,
    ) -> None:
        super().__init__(block, name, shape, dtype)
        self._init = init
        self._check = check
        self._value: np.ndarray | None = None
        self._tracker: DirtyTracker | None = None

    @property
    def value(self) -> np.ndarray:
        """The contents, read-only: assign a whole array to change them."""
        if self._value is None:
            self._value = initial(self._init, tuple(self.shape), self.dtype, self.path)  # type: ignore[arg-type]
            self._value.flags.writeable = False
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self.assign(self.fit(value))

    def assign(self, fitted: np.ndarray) -> None:
        """Take an array that `fit` made."""
        self._value = fitted
        if self._tracker is not None:
            self._tracker.mark_contents(self)

    def fit(self, value: Any) -> np.ndarray:
        """A private, read-only copy in this weight's dtype; `ShapeError` or `DescriptionError` when it does not fit."""
        fitted = _fitting(value, tuple(self.shape), self.dtype, self.path)  # type: ignore[arg-type]
        if self._check is not None:
            self._check(fitted)
        return fitted

    def attach(self, tracker: DirtyTracker | None) -> None:
        """Report changes to this tracker from now on (None: to nobody)."""
        self._tracker = tracker


class State(Tensor):
    """A tensor that kernels write and that survives from frame to frame, and through rebuilds."""

    __slots__ = ("_described", "_pending", "_tracker", "init", "live", "persistent")

    def __init__(
        self, block: Block, name: str, shape: tuple[DimSpec, ...], dtype: np.dtype[Any], init: Any, persistent: bool
    ) -> None:
        super().__init__(block, name, shape, dtype)
        self.init = init
        self._described = init  # what it starts from in a shape that `init`, left behind by an engine, does not have
        self.persistent = persistent  # whether it is part of `state_dict`
        self.live: LiveTensors | None = None
        self._pending: np.ndarray | None = None
        self._tracker: DirtyTracker | None = None

    @property
    def value(self) -> np.ndarray:
        """The contents after the last frame (copied from the device when an engine runs it)."""
        if self._pending is not None:
            return self._pending
        if self.live is not None:
            try:
                return self.live.read(self)
            except DescriptionError:  # no frame has used it yet
                pass
        return initial(self.init, self.known_shape(), self.dtype, self.path)  # type: ignore[arg-type]

    @value.setter
    def value(self, value: Any) -> None:
        self.assign(self.fit(value))

    def assign(self, fitted: np.ndarray) -> None:
        """Take an array that `fit` made."""
        self._pending = fitted
        if self._tracker is not None:
            self._tracker.mark_contents(self)
        else:
            self.init = fitted

    def known_shape(self) -> tuple[int, ...]:
        """The shape, if it is written or was left behind by an engine; `ShapeError` otherwise."""
        if not all(isinstance(length, int) for length in tuple(self.shape)):
            if isinstance(self.init, np.ndarray) and self.init.ndim:
                return self.init.shape
            raise ShapeError(f"{self} has no size yet: add its block to an engine and call update() first")
        return tuple(self.shape)  # type: ignore[return-value]

    def fit(self, value: Any) -> np.ndarray:
        """A private, read-only copy in this state's dtype; `ShapeError` or `DescriptionError` when it does not fit."""
        fixed = all(isinstance(length, int) for length in tuple(self.shape))
        shape = self.known_shape() if fixed or self.live is None else self.value.shape
        return _fitting(value, shape, self.dtype, self.path)  # type: ignore[arg-type]

    def contents_for(self, shape: tuple[int, ...]) -> np.ndarray:
        """What it starts with in this shape: what was assigned or left behind, if that fits, else its initial value."""
        if self._pending is not None and self._pending.shape == shape:
            return self._pending
        init = self._described if self._is_left_over(shape) else self.init
        return initial(init, shape, self.dtype, self.path)  # type: ignore[arg-type]

    def settle(self, shape: tuple[int, ...]) -> None:
        """An engine runs it in this shape: what was left behind in another one will not come back."""
        if self._is_left_over(shape):
            self.init = self._described

    def _is_left_over(self, shape: tuple[int, ...]) -> bool:
        return self.init is not self._described and isinstance(self.init, np.ndarray) and self.init.shape != shape

    @property
    def pending(self) -> np.ndarray | None:
        """The contents assigned since the last frame; None if there are none."""
        return self._pending

    def sent(self, contents: np.ndarray) -> None:
        """These contents are on the device, and nothing newer was assigned meanwhile that has to follow."""
        if self._pending is contents:
            self._pending = None

    def attach(self, tracker: DirtyTracker | None, live: LiveTensors | None = None) -> None:
        """Report changes to this tracker, and read contents from this engine, from now on."""
        if self._pending is not None and tracker is None:
            self.init, self._pending = self._pending, None
        self._tracker = tracker
        self.live = live


def _fitting(value: Any, shape: tuple[int, ...], dtype: np.dtype[Any], path: str) -> np.ndarray:
    """A read-only copy in the tensor's dtype; the shape must be equal and no information of another kind is dropped."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DescriptionError(f"{path} takes an array, which {type(value).__name__} is not: {error}") from None
    if array.shape != shape:
        raise ShapeError(
            f"{path} has the shape {show_shape(shape)}; it cannot take an array of {show_shape(array.shape)}"
        )
    if not _convertible(array, dtype):
        raise DescriptionError(
            f"{path} holds {show(dtype)}; converting {show(array.dtype)} would lose values: convert it yourself"
        )
    with np.errstate(over="ignore"):  # a float too large for the type becomes infinite, as in C
        copy = np.array(array, dtype, order="C", copy=True)
    copy.flags.writeable = False
    return copy


def _convertible(array: np.ndarray, dtype: np.dtype[Any]) -> bool:
    """Whether a conversion only rounds: floats take floats and integers, integers take integers that fit them."""
    if dtype.names or array.dtype == dtype:
        return array.dtype == dtype
    if dtype.kind not in "iub":
        return array.dtype in C_TYPES.values()
    if array.dtype.kind not in "iub":
        return False
    limits = np.iinfo(dtype) if dtype.kind in "iu" else None
    return limits is None or array.size == 0 or (limits.min <= int(array.min()) and int(array.max()) <= limits.max)
