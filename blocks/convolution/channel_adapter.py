"""y = another number of channels, by a 1x1 convolution that is learned or a fixed conversion of colours."""

from __future__ import annotations

import numpy as np

from cudagraph.errors import DescriptionError

from .conv import Conv2d

# Weights [O, I] of the conversions between gray and red, green, blue; luma after ITU-R BT.601.
_MODES = {
    "mean": np.full((1, 3), 1 / 3),
    "luma": np.array([[0.299, 0.587, 0.114]]),
    "repeat": np.ones((3, 1)),
}


class ChannelAdapter(Conv2d):
    """y[o] = bias[o] + sum over i of weight[o, i] x[i]: from I to O channels, pixel by pixel.

    x: [..., I, H, W], weight: [O, I, 1, 1], bias: [O], y: [..., O, H, W]. mode "learned" is a 1x1 convolution; "mean"
    and "luma" (ITU-R BT.601) make gray of three channels, "repeat" three of gray: these have no bias and start with
    fixed weights. Types: see `Conv1d`. `DescriptionError` for another mode or number of channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        mode: str = "learned",
        *,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        if mode != "learned" and mode not in _MODES:
            raise DescriptionError(f"a ChannelAdapter is 'learned', 'mean', 'luma' or 'repeat', not {mode!r}")
        table = _MODES.get(mode)
        if table is not None and table.shape != (out_channels, in_channels):
            raise DescriptionError(
                f"a ChannelAdapter with mode {mode!r} goes from {table.shape[1]} to {table.shape[0]} channels, "
                f"not from {in_channels} to {out_channels}"
            )
        super().__init__(in_channels, out_channels, 1, bias=table is None, dtype=dtype, seed=seed)
        if table is not None:
            self.weight.value = table.reshape(*table.shape, 1, 1)
