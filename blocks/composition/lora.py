"""Small trained layers in a frozen network: LoRA and Adapter."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError

from ..channel_mixing.linear import Linear
from ..channel_mixing.products import scalar_type


class LoRA(Block):
    """y = base(x) + scale * lora_b(lora_a(x)): a Linear and a low-rank change of its weight.

    x: [..., I], base.weight: [O, I], lora_a.weight: [R, I], lora_b.weight: [O, R], y: [..., O], of the base's type.
    `scale` is hot, and 0 turns the change off. `merge()` adds scale * B A to the base's weight, live, and the scale
    becomes 0; `unmerge()` brings both back, bit by bit. lora_a starts normal with deviation 1 / R, lora_b with zeros.
    Three products; scale and addition are part of the last. PEFT's names (base_layer, lora_A.default, lora_B.default;
    its scale is alpha / r) load too. `DescriptionError` for a base with an activation, a factor or a residual. Hu et
    al. 2021, arXiv 2106.09685.
    """

    def __init__(self, base: Linear, rank: int, scale: float = 1.0, *, seed: int | None = None) -> None:
        super().__init__()
        _check_base(base, rank)
        out_features, in_features = base.weight.value.shape
        dtype = str(base.weight.dtype)
        self.base = base
        self.lora_a = Linear(in_features, rank, bias=False, dtype=dtype)
        self.lora_b = Linear(rank, out_features, bias=False, alpha=scale, residual=True, dtype=dtype)
        random = np.random.default_rng(seed)
        self.lora_a.weight.value = (random.standard_normal((rank, in_features)) / rank).astype(base.weight.dtype)
        self.lora_b.weight.value = np.zeros((out_features, rank), base.weight.dtype)
        self._unmerged: tuple[np.ndarray, float] | None = None
        with BlockBuilder(self) as b:
            self.x = b.input("x", tuple(base.x.shape), dtype)
            change = b.apply(self.lora_a, self.x)
            self.y = b.expose(b.apply(self.lora_b, change, b.apply(base, self.x)))
            assert self.lora_b.alpha is not None
            self.scale = b.expose(self.lora_b.alpha, "scale")
            peft = {"base": "base_layer", "lora_a": "lora_A.default", "lora_b": "lora_B.default"}
            for name, theirs in peft.items():
                for weight in getattr(self, name).weights.values():
                    b.stored_as(weight, f"{name}.{weight.name}")
                    b.stored_as(weight, f"{theirs}.{weight.name}")

    @property
    def merged(self) -> bool:
        """Whether the base's weight has the change in it."""
        return self._unmerged is not None

    def merge(self) -> None:
        """Add the change to the base's weight and set the scale to 0. Nothing happens where that is done already."""
        if self._unmerged is None:
            weight, scale = self.base.weight, self.scale.value
            wide = np.float64 if scalar_type(str(weight.dtype)) == "float64" else np.float32
            change = self.lora_b.weight.value.astype(wide) @ self.lora_a.weight.value.astype(wide)
            self._unmerged = weight.value, scale
            weight.value = (weight.value.astype(wide) + wide(scale) * change).astype(weight.dtype)
            self.scale.value = 0.0

    def unmerge(self) -> None:
        """The base's weight and the scale as they were before `merge()`."""
        if self._unmerged is not None:
            self.base.weight.value, self.scale.value = self._unmerged
            self._unmerged = None


class Adapter(Block):
    """y = x + up(activation(down(x))): a bottleneck with its residual, for a frozen network.

    x, y: [..., C], down: C -> `bottleneck`, up: `bottleneck` -> C, of `dtype` (float16, bfloat16, float32, float64).
    `up` starts with zeros, so that a new adapter changes nothing. Two products with everything else inside for the
    activations "none", "relu" and "gelu_tanh", a kernel more for others. Houlsby et al. 2019, arXiv 1902.00751.
    """

    def __init__(
        self,
        features: int,
        bottleneck: int,
        *,
        activation: str = "gelu",
        bias: bool = True,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.down = Linear(features, bottleneck, bias, activation=activation, dtype=dtype, seed=seed)
        self.up = Linear(bottleneck, features, bias, residual=True, dtype=dtype)
        for weight in self.up.weights.values():
            weight.value = np.zeros_like(weight.value)
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., features), dtype)
            self.y = b.expose(b.apply(self.up, b.apply(self.down, self.x), self.x))


def _check_base(base: Linear, rank: int) -> None:
    if rank < 1:
        raise DescriptionError(f"LoRA: the rank is at least 1, not {rank}")
    if base.activation.value != "none" or base.alpha is not None or base.residual is not None:
        raise DescriptionError(
            "LoRA changes the weight of a plain Linear; build it without activation, alpha and residual"
        )
