"""The names under which attention weights are stored elsewhere."""

from __future__ import annotations

from typing import Any

from cudagraph.builder import BlockBuilder

_SEPARATE = (("q_proj", "k_proj", "v_proj"), ("query", "key", "value"), ("q", "k", "v"))


def store_packed(b: BlockBuilder, layer: Any, lengths: tuple[int, ...], skip: int = 0) -> None:
    """Rows of a packed projection as separate layers, or packed as torch or GPT-2 names them.

    `lengths` are those of the queries, keys and values; without the first `skip` of them where the layer lacks them.
    """
    for kind, tensor in (("weight", layer.weight), ("bias", layer.bias)):
        if tensor is None:
            continue
        for names in _SEPARATE:
            parts = zip(names[skip:], lengths[skip:], strict=True)
            b.stored_as(tensor, {f"{name}.{kind}": length for name, length in parts})
        if not skip:
            b.stored_as(tensor, f"in_proj_{kind}")
            b.stored_as(tensor, f"c_attn.{kind}", transpose=kind == "weight")


def store_output(b: BlockBuilder, layer: Any) -> None:
    """The output projection as torch, LLaMA or GPT-2 names it."""
    for kind, tensor in (("weight", layer.weight), ("bias", layer.bias)):
        if tensor is not None:
            b.stored_as(tensor, f"out_proj.{kind}")
            b.stored_as(tensor, f"o_proj.{kind}")
            b.stored_as(tensor, f"c_proj.{kind}", transpose=kind == "weight")
