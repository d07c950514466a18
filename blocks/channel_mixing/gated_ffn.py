"""y = down(activation(gate(x)) * up(x))."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError

from .gated_linear import GatedLinear
from .linear import Linear
from .products import inside, next_seed


class GatedFFN(Block):
    """y = down_proj(activation(gate_proj(x)) * up_proj(x)) (+ residual): a feed-forward network with a gate.

    x, y: [..., C] of `dtype` (float16, bfloat16, float32, float64); `hidden` features in between, 4 C unless said.
    activation: a name of `ACTIVATIONS`, changeable live; "sigmoid" is the GLU's, "relu" the ReGLU's. `residual=True`
    adds an input `residual`: [..., C]. gate_proj and up_proj are one packed weight, so that one product serves both;
    state dicts hold them apart under `names`, or packed as gate_up_proj. One to eight rows are two kernels in all;
    `norm`, `norm_eps` and `norm_bias` put a norm in front of them, as for `Linear`.
    `DescriptionError` as for Linear.

    Shazeer 2020, arXiv:2002.05202.
    """

    def __init__(
        self,
        features: int,
        hidden: int | None = None,
        *,
        activation: str = "silu",
        bias: bool = False,
        residual: bool = False,
        names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj"),
        dtype: str = "float32",
        library: bool = True,
        seed: int | None = None,
        **norm: Any,
    ) -> None:
        super().__init__()
        hidden = 4 * features if hidden is None else hidden
        self.names = names
        shared: dict[str, Any] = {"dtype": dtype, "library": library}
        with BlockBuilder(self) as b:
            gate_up = GatedLinear(features, hidden, bias, activation=activation, seed=seed, **shared, **norm)
            down = Linear(hidden, features, bias, residual=residual, seed=next_seed(seed), **shared)
            self.gate_up_proj, self.down_proj = b.child(gate_up, "gate_up_proj"), b.child(down, names[2])
            for weight in (gate_up.weight, gate_up.bias):
                if weight is not None:
                    b.stored_as(weight, {f"{name}.{weight.name}": hidden for name in names[:2]})
            b.connect(gate_up.y, down.x)
            self.x = b.expose(gate_up.x)
            self.residual = b.expose(down.residual) if down.residual is not None else None
            self.y = b.expose(down.y)

    def reference(self, x: np.ndarray, residual: np.ndarray | None = None, **values: Any) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs; `values` by path."""
        hidden = self.gate_up_proj.reference(x, **inside(values, "gate_up_proj"))
        return self.down_proj.reference(hidden, residual, **inside(values, self.names[2]))


class SwiGLU(GatedFFN):
    """y = down_proj(silu(gate_proj(x)) * up_proj(x)): the `GatedFFN` of LLaMA, without biases.

    x, y: [..., C]. `hidden` is 8 C / 3 rounded up to a multiple of `multiple_of` unless said. Dtypes, options and
    errors as for `GatedFFN`. Shazeer 2020, arXiv:2002.05202.
    """

    def __init__(self, features: int, hidden: int | None = None, *, multiple_of: int = 256, **options: Any) -> None:
        if multiple_of < 1:
            raise DescriptionError(f"a SwiGLU's hidden features are a multiple of at least 1, not of {multiple_of}")
        if hidden is None:
            hidden = -(-8 * features // (3 * multiple_of)) * multiple_of
        super().__init__(features, hidden, **options)


class GeGLU(GatedFFN):
    """y = down_proj(gelu(gate_proj(x)) * up_proj(x)): the `GatedFFN` of T5 v1.1 ("gelu_tanh") and Gemma.

    x, y: [..., C], `hidden` 4 C unless said. Dtypes, options and errors as for `GatedFFN`. Shazeer 2020,
    arXiv:2002.05202.
    """

    def __init__(self, features: int, hidden: int | None = None, *, activation: str = "gelu", **options: Any) -> None:
        super().__init__(features, hidden, activation=activation, **options)


class Expert(GatedFFN):
    """y = w2(activation(w1(x)) * w3(x)): one expert of a mixture, with the names of Mixtral.

    x, y: [..., C]: the rows that were routed to it. `hidden` 4 C unless said. Dtypes, options and errors as for
    `GatedFFN`. Shazeer et al. 2017, arXiv:1701.06538.
    """

    def __init__(
        self,
        features: int,
        hidden: int | None = None,
        *,
        names: tuple[str, str, str] = ("w1", "w3", "w2"),
        **options: Any,
    ) -> None:
        super().__init__(features, hidden, names=names, **options)
