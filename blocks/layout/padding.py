"""Tensors made larger or smaller at their edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.parameter import Parameter
from cudagraph.port import Port
from cudagraph.shape import PortSpan, ceil_div, maximum, minimum

from .limits import Limited

_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class Pad(Block):
    """y = x with its last one to three dimensions made longer at both ends, as torch.nn.functional.pad.

    x: any type; pads: (left, right) of the last dimension, then of the one before it, and so on. mode: "constant" (the
    hot `value`; negative pads cut off), "reflect", "replicate" or "circular". One kernel. `DescriptionError` for
    another mode or number of pads; `ShapeError` when x is too short for them.
    """

    def __init__(self, pads: Sequence[int], mode: str = "constant", value: float = 0.0) -> None:
        super().__init__()
        self.pads, self.mode = tuple(pads), mode
        _check_pads(self.pads, mode)
        rank = len(self.pads) // 2
        before, after = self.pads[-2::-2], self.pads[::-2]  # outermost dimension first
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., *(f"n{k}" for k in range(rank))), "T")
            self.value = b.parameter("value", value, "float64") if mode == "constant" else None
            lengths: list[Any] = [self.x.shape[k - rank] for k in range(rank)]
            padded = [
                _long_enough(length, left, right, mode) + (left + right)
                for length, left, right in zip(lengths, before, after, strict=True)
            ]
            self.y = b.output("y", (..., *padded), "T")
            window(b, self.x, self.y, rank, [-left for left in before], mode=mode, value=self.value)

    def reference(self, x: np.ndarray, *, value: float = 0.0) -> np.ndarray:
        """The same in NumPy."""
        pairs = [(0, 0)] * (x.ndim - len(self.pads) // 2) + list(zip(self.pads[-2::-2], self.pads[::-2], strict=True))
        kept = tuple(np.s_[max(0, -left) : n - max(0, -right)] for n, (left, right) in zip(x.shape, pairs, strict=True))
        more = [(max(0, left), max(0, right)) for left, right in pairs]
        if self.mode == "constant":
            return np.pad(x[kept], more, constant_values=np.asarray(value).astype(x.dtype))
        return np.pad(x[kept], more, mode=_MODES[self.mode])  # type: ignore[call-overload]


class Crop(Block):
    """y = x[..., top : top + height, left : left + width], with zeros where that is outside of x.

    x: [..., H, W] of any type. `top` and `left` are hot where they are given, and else the window is in the centre, as
    torchvision's center_crop has it (odd differences round to even). One kernel. `DescriptionError` for an empty
    window, or one of the two.
    """

    def __init__(self, height: int, width: int, top: int | None = None, left: int | None = None) -> None:
        super().__init__()
        if height < 1 or width < 1:
            raise DescriptionError(f"Crop: a window has at least one row and column, not {height} x {width}")
        if (top is None) != (left is None):
            raise DescriptionError("Crop: give both top and left, or neither for the centre")
        self.window = height, width
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., "H", "W"), "T")
            self.y = b.output("y", (..., height, width), "T")
            if top is None or left is None:
                tall, wide = (cast(Any, self.x.shape[axis]) for axis in (-2, -1))
                shifts: list[Any] = [_centre(tall - height), _centre(wide - width)]
            else:
                self.top, self.left = b.parameter("top", top, "int32"), b.parameter("left", left, "int32")
                shifts = [self.top, self.left]
            window(b, self.x, self.y, 2, shifts)

    def reference(self, x: np.ndarray, *, top: int | None = None, left: int | None = None) -> np.ndarray:
        """The same in NumPy."""
        y = np.zeros((*x.shape[:-2], *self.window), x.dtype)
        places = []
        for length, size, start in zip(x.shape[-2:], self.window, (top, left), strict=True):
            more = length - size
            at = (round(more / 2) if more > 0 else -(-more // 2)) if start is None else start
            indices = np.arange(size) + at
            places.append((indices, (indices >= 0) & (indices < length)))
        (rows, in_rows), (columns, in_columns) = places
        y[..., np.ix_(in_rows, in_columns)[0], np.ix_(in_rows, in_columns)[1]] = x[
            ..., rows[in_rows][:, None], columns[in_columns]
        ]
        return y


def window(
    b: BlockBuilder,
    x: Port,
    y: Port,
    rank: int,
    shifts: Sequence[Any],
    *,
    mode: str = "constant",
    value: Parameter[float] | None = None,
) -> None:
    """y = x seen through a window of y's shape, which begins at `shifts` in the last `rank` dimensions."""
    sides = ("d", "h", "w")[3 - rank :]
    at = dict(zip(("front", "top", "left")[3 - rank :], shifts, strict=True))
    inside: dict[str, Any] = {f"in_{side}": x.shape[k - rank] for k, side in enumerate(sides)}
    outside: dict[str, Any] = {f"out_{side}": y.shape[k - rank] for k, side in enumerate(sides)}
    arguments: dict[str, Any] = {f"{where}_{side}": 1 for where in ("in", "out") for side in ("d", "h", "w")}
    arguments |= {"front": 0, "top": 0, "left": 0} | at | inside | outside
    rows = arguments["out_d"] * arguments["out_h"]
    lanes = minimum(256, maximum(1, ceil_div(arguments["out_w"], 4)))
    batch: Any = PortSpan(x, None, -rank)
    b.kernel(
        "layout/pad",
        threads=(lanes, 256 // lanes),
        grid=(maximum(1, ceil_div(rows, 256 // lanes)), maximum(1, minimum(65535, batch))),
        define={"MODE": list(_MODES).index(mode)},
        x=x,
        value=0.0 if value is None else value,
        y=y,
        batch=batch,
        **arguments,
    )


def _long_enough(length: Any, left: int, right: int, mode: str) -> Any:
    most = max(left, right)
    low = {"constant": -(left + right), "reflect": most + 1, "replicate": 1, "circular": most}[mode]
    return Limited(length, f"a dimension that Pad makes longer by {left} and {right} ({mode})", max(0, low))


def _centre(more: Any) -> Any:
    over, under = maximum(more, 0), maximum(0 - more, 0)
    half = over // 2
    return half + (over % 2) * (half % 2) - under // 2


def _check_pads(pads: tuple[int, ...], mode: str) -> None:
    if mode not in _MODES:
        raise DescriptionError(f"Pad: mode is one of {', '.join(_MODES)}, not {mode!r}")
    if len(pads) not in (2, 4, 6):
        raise DescriptionError(f"Pad: two pads for each of one to three dimensions are wanted, not {len(pads)}")
    if mode != "constant" and min(pads) < 0:
        raise DescriptionError(f"Pad: only mode 'constant' cuts off, so {pads} cannot be negative in mode {mode!r}")
