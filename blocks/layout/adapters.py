"""Tensors brought to a wanted number of features, tokens or samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.port import Port
from cudagraph.shape import PortSpan

from ..channel_mixing.linear import Linear
from .box import run_launch
from .limits import Limited, Quotient
from .padding import window


class DimensionAdapter(Block):
    """y = x with `out_features` features: by a learned layer, by cutting and zeros, or by means.

    x: [..., I], y: [..., O]. mode "linear": y = x @ proj.weight.T + proj.bias, of `dtype` (float16, bfloat16, float32,
    float64); "fit": cut off, or zeros added, for any type; "mean": each feature is the mean of those that fall on it,
    as torch's adaptive average pooling. With I = O, y is a view of x. `DescriptionError` for another mode, or no
    features.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        mode: str = "linear",
        *,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        _check_mode("DimensionAdapter", mode, ("linear", "fit", "mean"))
        if min(in_features, out_features) < 1:
            raise DescriptionError(f"DimensionAdapter: features are at least 1, not {in_features} -> {out_features}")
        self.mode, self.features = mode, out_features
        self.proj = None
        with BlockBuilder(self) as b:
            learned = mode == "linear" and in_features != out_features
            self.x = b.input("x", (..., in_features), dtype if mode == "linear" else "T")
            if learned:
                self.proj = Linear(in_features, out_features, dtype=dtype, seed=seed)
                self.y = b.expose(b.apply(self.proj, self.x), "y")
            elif in_features == out_features:
                self.y = b.view(self.x, self.x.shape, name="y")
            else:
                self.y = b.output("y", (..., out_features), "T")
                if mode == "fit":
                    window(b, self.x, self.y, 1, [0])
                else:
                    resample(b, self.x, self.y, self.x.rows, in_features, out_features, 1, average=True)

    def reference(self, x: np.ndarray, **weights: Any) -> np.ndarray:
        """The same in NumPy."""
        if self.proj is not None:
            return x @ weights["proj/weight"].T + weights["proj/bias"]
        if self.mode == "fit":
            kept = x[..., : self.features]
            return np.pad(kept, [(0, 0)] * (x.ndim - 1) + [(0, self.features - kept.shape[-1])])
        return _means(x, self.features) if self.mode == "mean" else x


class SequenceLengthAdapter(Block):
    """y = x with `length` tokens: by linear interpolation, by means, or by cutting and zeros.

    x: [..., T, C], y: [..., length, C]. mode "linear" (as torch's interpolate, corners not aligned) and "mean"
    (adaptive average pooling) take floating-point types; "fit", any type, has the tokens from the hot `offset` on, and
    zeros where there are none. One kernel. `DescriptionError` for another mode or no tokens.
    """

    def __init__(self, length: int, mode: str = "linear", *, offset: int = 0) -> None:
        super().__init__()
        _check_mode("SequenceLengthAdapter", mode, ("linear", "mean", "fit"))
        if length < 1:
            raise DescriptionError(f"SequenceLengthAdapter gives at least one token, not {length}")
        self.mode, self.length = mode, length
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., "T", "C"), "T")
            self.y = b.output("y", (..., length, "C"), "T")
            if mode == "fit":
                self.offset = b.parameter("offset", offset, "int32")
                window(b, self.x, self.y, 2, [self.offset, 0])
                return
            before = Limited(self.x.shape[-2], "the number of tokens of SequenceLengthAdapter", 1)
            batch: Any = PortSpan(self.x, None, -2)
            resample(b, self.x, self.y, batch, before, length, self.x.shape[-1], average=mode == "mean")

    def reference(self, x: np.ndarray, *, offset: int = 0) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        before, after = x.shape[-2], self.length
        if self.mode == "mean":
            return _means(x.swapaxes(-1, -2), after).swapaxes(-1, -2)
        if self.mode == "fit":
            places = np.arange(after) + offset
            inside = (places >= 0) & (places < before)
            y = np.zeros((*x.shape[:-2], after, x.shape[-1]), x.dtype)
            y[..., inside, :] = x[..., places[inside], :]
            return y
        at = np.maximum((np.arange(after) + 0.5) * before / after - 0.5, 0)
        low = np.minimum(at.astype(int), before - 1)
        part = (at - low).astype(x.dtype)[:, None]
        return (1 - part) * x[..., low, :] + part * x[..., np.minimum(low + 1, before - 1), :]


class BatchAdapter(Block):
    """y = x with `batch` samples: cut off or filled with zeros, repeated, or with samples folded into time.

    x: [B, ...] of any scalar type, y: [batch, ...]. mode "fit": x's samples, as many as the hot `valid` says, then
    zeros; "tile": x again and again (broadcasting where B = 1); "fold": [B, T, ...] -> [batch, B * T / batch, ...], a
    view. One kernel. `DescriptionError` for another mode or no samples; `ShapeError` when samples do not fold, or there
    are none to repeat.
    """

    def __init__(self, batch: int, mode: str = "fit", *, valid: int | None = None) -> None:
        super().__init__()
        _check_mode("BatchAdapter", mode, ("fit", "tile", "fold"))
        if batch < 1:
            raise DescriptionError(f"BatchAdapter gives at least one sample, not {batch}")
        self.mode, self.batch = mode, batch
        with BlockBuilder(self) as b:
            if mode == "fold":
                self.x = b.input("x", ("B", "T", ...), "T")
                folded = Quotient(self.x.shape[0] * self.x.shape[1], batch, f"a batch of {batch}")
                self.y = b.view(self.x, (batch, folded, ...), name="y")
                return
            self.x = b.input("x", ("B", ...), "T")
            self.y = b.output("y", (batch, ...), "T")
            most = batch if valid is None else valid
            self.valid = b.parameter("valid", most, "int32", low=0, high=batch) if mode == "fit" else None
            self._copy(b)

    def _copy(self, b: BlockBuilder) -> None:
        run: Any = PortSpan(self.x, 1, None)
        tiled = self.mode == "tile"
        b.kernel(
            "layout/fit_rows",
            **run_launch(self.batch, run),
            define={"TILED": int(tiled)},
            x=self.x,
            valid=self.x if self.valid is None else self.valid,
            y=self.y,
            given=Limited(self.x.shape[0], "the batch that BatchAdapter repeats", 1) if tiled else self.x.shape[0],
            rows=self.batch,
            run=run,
        )

    def reference(self, x: np.ndarray, *, valid: int = 0) -> np.ndarray:
        """The same in NumPy."""
        if self.mode == "fold":
            return x.reshape(self.batch, x.shape[0] * x.shape[1] // self.batch, *x.shape[2:])
        if self.mode == "tile":
            return x[np.arange(self.batch) % len(x)]
        y = np.zeros((self.batch, *x.shape[1:]), x.dtype)
        count = min(valid, len(x), self.batch)
        y[:count] = x[:count]
        return y


def resample(
    b: BlockBuilder, x: Port, y: Port, batch: Any, before: Any, after: int, run: Any, *, average: bool
) -> None:
    """y = x with `after` rows of `run` elements for each `before`, by interpolation or by means."""
    b.kernel(
        "layout/resample",
        **run_launch(batch * after, run),
        define={"AVERAGE": int(average)},
        x=x,
        y=y,
        batch=batch,
        before=before,
        after=after,
        run=run,
    )


def _means(x: np.ndarray, after: int) -> np.ndarray:
    before = x.shape[-1]
    ends = [(k * before // after, -(-(k + 1) * before // after)) for k in range(after)]
    return np.stack([x[..., first:last].mean(-1) for first, last in ends], -1)


def _check_mode(kind: str, mode: str, modes: tuple[str, ...]) -> None:
    if mode not in modes:
        raise DescriptionError(f"{kind}: mode is one of {', '.join(modes)}, not {mode!r}")
