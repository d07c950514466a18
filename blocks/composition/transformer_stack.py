"""Transformer layers in a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.port import Port

from .transformer import TransformerBlock, norm_of


class TransformerStack(Block):
    """y = norm(h[L]), h[i + 1] = layer i of h[i], h[0] = x: L TransformerBlocks of equal options, each its own weights.

    x, y: [B, T, C] of `dtype`. `final_norm` is on where the layers have their norms first, unless said. `layer` makes
    another kind of layer (TransformerEncoderBlock, ...), with the same arguments. State names are those of
    torch.nn.TransformerEncoder: layers.0..., norm. Ports that the layers' options add (mask, rope, position) are one
    port for all of them. `DescriptionError` for less than one layer.
    """

    def __init__(
        self,
        num_layers: int,
        embed_dim: int,
        num_heads: int,
        hidden: int | None = None,
        *,
        layer: Callable[..., Any] = TransformerBlock,
        final_norm: bool | None = None,
        norm: str = "layer",
        eps: float = 1e-5,
        bias: bool = True,
        dtype: str = "float32",
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise DescriptionError(f"a TransformerStack has at least one layer, not {num_layers}")
        if layer is TransformerBlock:
            options |= {"norm": norm, "eps": eps}
        sizes = (embed_dim, num_heads) if hidden is None else (embed_dim, num_heads, hidden)
        seeds = [None if seed is None else seed + 10 * number for number in range(num_layers)]
        self.layers = [layer(*sizes, bias=bias, dtype=dtype, seed=start, **options) for start in seeds]
        first = self.layers[0]
        final_norm = first.norm_first if final_norm is None else final_norm
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("B", "T", embed_dim), dtype)
            more = {port.name: shared(b, port) for port in first.inputs if port.name != "x"}
            y = in_a_row(b, self.layers, self.x, more)
            self.norm = norm_of(norm, embed_dim, eps, bias, dtype) if final_norm else None
            self.y = b.expose(y if self.norm is None else b.apply(self.norm, y), "y")


def in_a_row(b: BlockBuilder, layers: Sequence[Block], x: Port, more: Mapping[str, Port]) -> Port:
    """The last layer's output. Each gets the one before it, and what all share by the names of their ports."""
    for layer in layers:
        b.child(layer)
        b.connect(x, layer.ports["x"])
        for name, port in more.items():
            b.connect(port, layer.ports[name])
        x = layer.ports["y"]
    return x


def shared(b: BlockBuilder, port: Port) -> Port:
    """An input like one of the layers'."""
    return b.input(port.name, tuple(port.shape), port.dtype)
