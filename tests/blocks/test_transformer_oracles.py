"""Transformer layers next to torch's, with torch's weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import (
    TransformerBlock,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
    TransformerStack,
    ViTBlock,
)
from cudagraph.blocks.embedding.rotary import rotary_table
from cudagraph.dtypes import parse_dtype

torch = pytest.importorskip("torch")
nn = torch.nn

# Relative to the largest value; the half precisions round every product, norm and residual.
TOLERANCES = {"float32": 1e-5, "float16": 6e-3, "bfloat16": 5e-2}


def randomised(module: Any) -> Any:
    """Weights and biases of a size that matters, instead of torch's ones and zeros."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return module.eval()


def state(module: Any, rename: dict[str, str] | None = None) -> dict[str, np.ndarray]:
    arrays = {name: value.numpy() for name, value in module.state_dict().items()}
    for old, new in (rename or {}).items():
        arrays = {name.replace(old, new): value for name, value in arrays.items()}
    return arrays


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape[1]).standard_normal(shape).astype(np.float32)


def run(engine: cg.CudaEngine, block: Any, **inputs: np.ndarray) -> np.ndarray:
    if block.owner is None:
        engine.add(block)
    for name, array in inputs.items():
        engine.bind(block.ports[name], array)
    engine.update(sync=True)
    return engine.read(block.y).astype(np.float64)


def close(given: np.ndarray, wanted: Any, tolerance: float = TOLERANCES["float32"]) -> None:
    wanted = wanted.detach().numpy()
    np.testing.assert_allclose(given, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(
    ("norm_first", "activation", "bias"), [(False, "relu", True), (True, "gelu", True), (False, "gelu", False)]
)
def test_an_encoder_layer_equals_torchs(engine, norm_first, activation, bias, dtype):
    options = {"activation": activation, "norm_first": norm_first, "bias": bias}
    layer = randomised(nn.TransformerEncoderLayer(21, 3, 34, batch_first=True, **options))
    block = TransformerEncoderBlock(21, 3, 34, dtype=dtype, **options)
    block.load_state_dict(state(layer))
    for shape in ((2, 7, 21), (1, 1, 21), (3, 33, 21)):
        x = values(*shape).astype(parse_dtype(dtype))
        wanted = layer(torch.tensor(x.astype(np.float32)))
        close(run(engine, block, x=x), wanted, TOLERANCES[dtype])


def test_a_mask_hides_padding(engine):
    layer = randomised(nn.TransformerEncoderLayer(12, 2, 20, batch_first=True))
    block = TransformerEncoderBlock(12, 2, 20, mask="keys")
    block.load_state_dict(state(layer))
    x, seen = values(2, 5, 12), np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    wanted = layer(torch.tensor(x), src_key_padding_mask=torch.tensor(~seen))
    close(run(engine, block, x=x, mask=seen)[seen], wanted[torch.tensor(seen)])


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_decoder_layer_equals_torchs(engine, norm_first):
    layer = randomised(nn.TransformerDecoderLayer(20, 5, 31, batch_first=True, norm_first=norm_first))
    block = TransformerDecoderBlock(20, 5, 31, norm_first=norm_first)
    block.load_state_dict(state(layer))
    for tokens, others in ((7, 11), (1, 3), (33, 1)):
        x, memory = values(2, tokens, 20), values(2, others, 20)
        causal = nn.Transformer.generate_square_subsequent_mask(tokens)
        wanted = layer(torch.tensor(x), torch.tensor(memory), tgt_mask=causal, tgt_is_causal=True)
        close(run(engine, block, x=x, memory=memory), wanted)


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_stack_equals_torchs_encoder(engine, norm_first):
    layer = nn.TransformerEncoderLayer(18, 3, 25, batch_first=True, norm_first=norm_first)
    norm = nn.LayerNorm(18) if norm_first else None
    encoder = randomised(nn.TransformerEncoder(layer, 3, norm, enable_nested_tensor=False))
    options = {"layer": TransformerEncoderBlock, "norm_first": norm_first, "mask": "keys"}
    stack = TransformerStack(3, 18, 3, 25, **options)
    stack.load_state_dict(state(encoder))
    x, seen = values(2, 9, 18), np.ones((2, 9), bool)
    close(run(engine, stack, x=x, mask=seen), encoder(torch.tensor(x)))


def test_a_stack_of_blocks_is_a_row_of_blocks(engine):
    stack = TransformerStack(2, 12, 2, norm="rms", gated=True, causal=True, seed=1, final_norm=False)
    x = values(2, 5, 12)
    y = x
    for layer in stack.layers:
        copy = TransformerBlock(12, 2, norm="rms", gated=True, causal=True)
        copy.load_state_dict(layer.state_dict())
        y = run(engine, copy, x=y.astype(np.float32))
    np.testing.assert_allclose(run(engine, stack, x=x), y, rtol=1e-5, atol=1e-5)


def test_a_block_with_a_gate_is_attention_and_gate(engine):
    """Against torch's own functions: RMSNorm first, grouped queries, a window."""
    block = TransformerBlock(
        24,
        6,
        30,
        norm="rms",
        eps=1e-6,
        gated=True,
        activation="silu",
        bias=False,
        kv_heads=2,
        causal=True,
        window=3,
        seed=2,
    )
    w = {name: torch.tensor(value) for name, value in block.state_dict().items()}
    x = torch.tensor(values(2, 8, 24))

    def heads(values: Any, name: str, count: int) -> Any:
        return (values @ w[f"self_attn.{name}.weight"].T).view(2, 8, count, 4).transpose(1, 2)

    normed = nn.functional.rms_norm(x, (24,), w["norm1.weight"], 1e-6)
    far = torch.ones(8, 8, dtype=torch.bool).tril() & torch.ones(8, 8, dtype=torch.bool).triu(-2)
    mixed = nn.functional.scaled_dot_product_attention(
        heads(normed, "q_proj", 6), heads(normed, "k_proj", 2), heads(normed, "v_proj", 2), far, enable_gqa=True
    )
    h = x + mixed.transpose(1, 2).reshape(2, 8, 24) @ w["self_attn.out_proj.weight"].T
    normed = nn.functional.rms_norm(h, (24,), w["norm2.weight"], 1e-6)
    gate = nn.functional.silu(normed @ w["ffn.gate_proj.weight"].T) * (normed @ w["ffn.up_proj.weight"].T)
    close(run(engine, block, x=x.numpy()), h + gate @ w["ffn.down_proj.weight"].T)


def test_a_vision_block_takes_the_names_of_timm(engine):
    """timm's Block is torch's layer with its norms first, under other names."""
    options = {"activation": "gelu", "norm_first": True, "layer_norm_eps": 1e-6, "batch_first": True}
    layer = nn.TransformerEncoderLayer(15, 3, 30, **options)
    arrays = state(randomised(layer), {"self_attn.in_proj_": "attn.qkv.", "self_attn.out_proj": "attn.proj"})
    arrays = {name.replace("linear", "mlp.fc"): value for name, value in arrays.items()}
    block = ViTBlock(15, 3, mlp_ratio=2.0)
    block.load_state_dict(arrays)
    assert block.state_dict().keys() == arrays.keys()
    x = values(2, 10, 15)
    close(run(engine, block, x=x), layer(torch.tensor(x)))


@pytest.mark.parametrize(("tokens", "nodes"), [(1, 5), (40, 7)])
@pytest.mark.parametrize("gated", [False, True])
def test_a_layer_is_few_nodes(engine, tokens, nodes, gated):
    """For a few tokens norms are part of the products; a gate is a node more only where cuBLAS multiplies."""
    block = TransformerBlock(32, 4, activation="silu" if gated else "relu", causal=True, gated=gated)
    run(engine, block, x=values(1, tokens, 32))
    assert len(engine.plan.nodes) == nodes + (gated and tokens > 8), str(engine.plan)


def test_a_layer_with_a_cache_is_five_nodes_for_a_token(engine):
    """Its keys and values turn and join the cache in the kernel that reads them."""
    rope = {"rope": rotary_table(64, 8), "kv_heads": 2}
    block = TransformerBlock(32, 4, norm="rms", gated=True, bias=False, causal=True, cache=64, **rope)
    run(engine, block, x=values(1, 1, 32))
    work = [node.name for node in engine.plan.nodes if node.name != "reset counters"]
    assert len(work) == 5, work


def test_what_a_block_refuses():
    with pytest.raises(cg.DescriptionError, match="layer, rms, not 'batch'"):
        TransformerBlock(12, 2, norm="batch")
    with pytest.raises(cg.DescriptionError, match="at least one layer, not 0"):
        TransformerStack(0, 12, 2)
