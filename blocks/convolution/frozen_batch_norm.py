"""y = activation(batch normalisation with fixed statistics + residual)."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import ceil_div, maximum

from ..activation.formulas import ACTIVATIONS, activate
from .window import check_dtype


class FrozenBatchNorm2d(Block):
    """y = activation((x - running_mean) * weight / sqrt(running_var + eps) + bias + residual), per channel.

    x, residual and y: [..., C, H, W], weight, bias, running_mean and running_var: [C], all of `dtype` (float16,
    bfloat16, float32, float64); computed in float32 (float64 for float64). What a trained BatchNorm2d does in
    evaluation, with the activation ("none", "relu", ..., changeable live) and a second input `residual` in the same
    pass. It takes the state of torch's BatchNorm2d; `num_batches_tracked` is stored and not used.
    `DescriptionError` for no channels or another type. Ioffe and Szegedy 2015, arXiv 1502.03167.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        *,
        activation: str = "none",
        residual: bool = False,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        if num_features < 1:
            raise DescriptionError(f"a FrozenBatchNorm2d has at least one feature, not {num_features}")
        check_dtype("a FrozenBatchNorm2d", dtype)
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., num_features, "H", "W"), dtype)
            self.residual = b.input("residual", self.x.shape, dtype) if residual else None
            self.weight = b.weight("weight", (num_features,), dtype, 1)
            self.bias = b.weight("bias", (num_features,), dtype)
            self.running_mean = b.weight("running_mean", (num_features,), dtype)
            self.running_var = b.weight("running_var", (num_features,), dtype, 1)
            b.weight("num_batches_tracked", (), "int64")
            self.eps = b.parameter("eps", eps, low=0.0)
            self.activation = b.option("activation", activation, ACTIVATIONS)
            self.y = b.output("y", self.x.shape, dtype)
            positions = self.x.shape[-2] * self.x.shape[-1]
            strips = ceil_div(positions, 4 * 256)
            b.kernel(
                "convolution/batch_norm_eval",
                grid=maximum(1, strips * (self.x.size // positions)),
                define={"ACTIVATION": self.activation, "RESIDUAL": int(residual)},
                x=self.x,
                weight=self.weight,
                bias=self.bias,
                mean=self.running_mean,
                variance=self.running_var,
                residual=self.x if self.residual is None else self.residual,
                y=self.y,
                eps=self.eps,
                channels=num_features,
                planes=self.x.size // positions,
                positions=positions,
                strips=strips,
            )

    @staticmethod
    def reference(
        x: np.ndarray,
        residual: np.ndarray | None = None,
        *,
        weight: np.ndarray,
        bias: np.ndarray,
        running_mean: np.ndarray,
        running_var: np.ndarray,
        eps: float,
        activation: str,
        num_batches_tracked: object = None,
    ) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        mean, variance, scale, shift = (a.reshape(-1, 1, 1) for a in (running_mean, running_var, weight, bias))
        y = (x - mean) * scale / np.sqrt(variance + eps) + shift
        return activate(y if residual is None else y + residual, activation)
