"""y = (x - mean) / sqrt(var + eps) * weight + bias per channel, with the moments of the batch or of earlier ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import equal, maximum

from ..activation.formulas import ACTIVATIONS, activate
from ..row_norm import scalar_type
from .launch import check_dtype
from .moments import PIECES, Rows, Settings, by_columns, by_planes, scratch_for


class BatchNorm1d(Block):
    """y = activation((x - mean) / sqrt(var + eps) * weight + bias) per channel: torch's layer, names included.

    x, y: [B, C] or [B, C, ...], weight and bias: [C], of `dtype` (float16, bfloat16, float32, float64); computed in
    float32 (float64 for float64), the type of running_mean and running_var: [C]. `training` is hot: 1 takes mean and
    biased variance of this frame's batch and moves the running statistics (with the unbiased variance) towards them by
    `momentum`, which is hot too (None: their average over all batches); 0 uses them. A block starts with training=0,
    as inference does. `track_running_stats=False` always uses the batch's. Two nodes; activation ("none", ...) is a
    live choice. `DescriptionError` for another type or no features. Ioffe and Szegedy 2015, arXiv 1502.03167.
    """

    dims: tuple[Any, ...] = (...,)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        training: bool = False,
        activation: str = "none",
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if num_features < 1:
            raise DescriptionError(f"a {name} has at least one feature, not {num_features}")
        check_dtype(f"a {name}", dtype)
        real = scalar_type(dtype)
        shape = (num_features,)
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("B", num_features, *self.dims), dtype)
            self.weight = b.weight("weight", shape, dtype, 1) if affine else None
            self.bias = b.weight("bias", shape, dtype) if affine else None
            tracked = track_running_stats
            self.running_mean = b.state("running_mean", shape, real) if tracked else None
            self.running_var = b.state("running_var", shape, real, 1) if tracked else None
            self.num_batches_tracked = b.state("num_batches_tracked", (), "int64") if tracked else None
            self.eps = b.parameter("eps", eps, real, low=0.0)
            moves = tracked and momentum is not None
            self.momentum = b.parameter("momentum", momentum or 0.0, real, low=0.0, high=1.0) if moves else None
            self.training = b.parameter("training", int(training), "int32", low=0, high=1) if tracked else None
            self.activation = b.option("activation", activation, ACTIVATIONS)
            self.y = b.output("y", self.x.shape, dtype)
            self._describe(b, num_features)

    def _describe(self, b: BlockBuilder, channels: int) -> None:
        settings = Settings(
            self.eps,
            self.weight,
            self.bias,
            self.activation,
            0.0 if self.momentum is None else self.momentum,
            1 if self.training is None else self.training,
            self.running_mean,
            self.running_var,
            self.num_batches_tracked,
            self.momentum is None,
        )
        samples: Any = self.x.shape[0]
        positions = self.x.size // maximum(1, samples * channels)
        scratch = scratch_for(b, channels, PIECES, self.eps.dtype)
        rows = Rows(channels, positions, samples, positions, channels * positions)
        flat = equal(positions, 1)
        with b.where(flat):
            by_columns(b, self.x, self.y, channels, settings, scratch)
        with b.where(equal(flat, 0)):
            by_planes(b, self.x, self.y, rows, channels, 0, positions, settings, scratch)

    @staticmethod
    def reference(
        x: np.ndarray,
        *,
        eps: float,
        activation: str,
        weight: np.ndarray | None = None,
        bias: np.ndarray | None = None,
        running_mean: np.ndarray | None = None,
        running_var: np.ndarray | None = None,
        training: int = 1,
        momentum: float | None = None,
        num_batches_tracked: Any = None,
    ) -> np.ndarray:
        """y in NumPy, in the precision of x: of the batch's moments, or with training=0 the running ones."""
        along = (-1, *(1,) * (x.ndim - 2))
        axes = (0, *range(2, x.ndim))
        if training:
            mean, variance = x.mean(axes), x.var(axes)
        else:
            mean = np.zeros(x.shape[1]) if running_mean is None else running_mean
            variance = np.ones(x.shape[1]) if running_var is None else running_var
        y = (x - mean.reshape(along)) / np.sqrt(variance.reshape(along) + eps)
        y = y if weight is None else y * weight.reshape(along)
        return activate(y if bias is None else y + bias.reshape(along), activation)


class BatchNorm2d(BatchNorm1d):
    """y = activation((x - mean) / sqrt(var + eps) * weight + bias) per channel of images: torch's layer.

    x, y: [B, C, H, W]; everything else as for `BatchNorm1d`.
    """

    dims = ("H", "W")


class BatchNorm3d(BatchNorm1d):
    """y = activation((x - mean) / sqrt(var + eps) * weight + bias) per channel of volumes: torch's layer.

    x, y: [B, C, D, H, W]; everything else as for `BatchNorm1d`.
    """

    dims = ("D", "H", "W")
