"""Embeddings and positions against torch, transformers and timm's formulas: code that nobody here wrote."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import (
    ALiBi,
    ConditionalPositionEncoding,
    DiffusionTimestepEmbed,
    Embedding,
    LearnedPositionalEmbedding,
    PatchEmbedding,
    PositionalEncoding,
    RelativePositionBias,
    RotaryEmbedding,
    TimestepSinusoid,
    TokenPositionEmbedding,
    WindowPositionBias,
    alibi_slopes,
    rotary_table,
)

torch: Any = pytest.importorskip("torch")


def run(block: Any, *arrays: np.ndarray) -> np.ndarray:
    with cg.CudaEngine("host") as engine:
        engine.add(block)
        for port, array in zip(block.inputs, arrays, strict=True):
            engine.bind(port, array)
        engine.update()
        return engine.read(block.outputs[0])


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def close(given: np.ndarray, expected: Any, tolerance: float = 1e-5) -> None:
    expected = expected.detach().numpy() if hasattr(expected, "detach") else np.asarray(expected)
    assert given.shape == expected.shape
    np.testing.assert_allclose(
        given, expected, rtol=0, atol=tolerance * max(1.0, float(np.abs(expected).max(initial=0)))
    )


def state_of(module: Any) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("padding", [None, 0, -3])
def test_embedding(padding):
    theirs = torch.nn.Embedding(11, 7, padding_idx=padding)
    ours = Embedding(11, 7, padding, seed=0)
    if padding is not None:
        assert not ours.weight.value[padding].any()
        assert ours.weight.value.any(axis=1).sum() == 10
    ours.load_state_dict(state_of(theirs))
    ids = np.random.default_rng(0).integers(0, 11, (3, 5))
    close(run(ours, ids), theirs(torch.from_numpy(ids)), 0)


def test_an_index_outside_is_reported_until_it_is_gone():
    ours = Embedding(4, 3, seed=0)
    with cg.CudaEngine("host") as engine:
        engine.bind(engine.add(ours).ids, np.array([0, 4, -1, 3]))
        engine.update(sync=True)
        assert not engine.read(ours.y)[1:3].any()
        np.testing.assert_array_equal(engine.read(ours.y)[[0, 3]], ours.weight.value[[0, 3]])
        assert ours.debug.state == "error"
        assert "an index is outside of 0..3" in ours.debug.message
        assert "2" in ours.debug.message
        engine.bind(ours.ids, np.array([0, 1, 2, 3]))
        engine.update(sync=True)
        assert ours.debug.state == "ok"


SCALINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 2.0},
    "llama3": {
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32
    },
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 32},
    "yarn mscale": {
        "factor": 4.0, "original_max_position_embeddings": 32, "mscale": 1.0, "mscale_all_dim": 0.5,
        "beta_fast": 16, "beta_slow": 2,
    },
    "yarn attention": {"factor": 4.0, "original_max_position_embeddings": 64, "attention_factor": 1.5},
}  # fmt: skip


def llama_rope(scaling: str, dim: int, base: float) -> Any:
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    config = llama.LlamaConfig(
        hidden_size=2 * dim,
        num_attention_heads=2,
        max_position_embeddings=64,
        rope_parameters={"rope_type": scaling.split()[0], "rope_theta": base, **SCALINGS[scaling]},
    )
    return llama, llama.LlamaRotaryEmbedding(config)


@pytest.mark.parametrize("layout", ["bhtd", "bthd"])
@pytest.mark.parametrize("scaling", SCALINGS)
def test_rotary_equals_llama(scaling, layout):
    dim, length, position = 24, 40, 7
    llama, theirs = llama_rope(scaling, dim, 5000.0)
    x = random(2, 3, length, dim)
    places = torch.arange(position, position + length)[None]
    cosine, sine = theirs(torch.from_numpy(x), places)
    expected, _ = llama.apply_rotary_pos_emb(torch.from_numpy(x), torch.from_numpy(x), cosine, sine)
    config = {"rope_type": scaling.split()[0], "max_position_embeddings": 64, **SCALINGS[scaling]}
    ours = RotaryEmbedding(dim, 64, base=5000.0, scaling=config, layout=layout, position=position)
    if layout == "bhtd":
        close(run(ours, x), expected)
    else:
        close(run(ours, np.ascontiguousarray(x.swapaxes(1, 2))), expected.transpose(1, 2))


def test_dynamic_scaling_grows_with_the_text():
    _, theirs = llama_rope("dynamic", 16, 10000.0)
    cosine, sine = theirs(torch.zeros(1, 1, 16), torch.arange(200)[None])
    table = rotary_table(200, 16, 10000.0, {"type": "dynamic", "factor": 2.0, "max_position_embeddings": 64})
    close(table[..., 0], cosine[0, :, :8], 2e-5)
    close(table[..., 1], sine[0, :, :8], 2e-5)


@pytest.mark.parametrize("width", [8, 13])
def test_interleaved_rotary_equals_gptj(width):
    gptj = pytest.importorskip("transformers.models.gptj.modeling_gptj")
    x = random(2, 9, 3, width)
    table = gptj.create_sinusoidal_positions(64, 8)[5:14]
    sine, cosine = torch.split(table[None], 4, dim=-1)
    turned = gptj.apply_rotary_pos_emb(torch.from_numpy(x[..., :8]), sine, cosine)
    expected = torch.cat([turned, torch.from_numpy(x[..., 8:])], -1)
    close(run(RotaryEmbedding(8, 64, interleaved=True, layout="bthd", position=5), x), expected)


def test_a_head_narrower_than_the_rotation_is_refused():
    with pytest.raises(cg.ShapeError, match="at least 8"):
        run(RotaryEmbedding(8), random(1, 1, 2, 6))


def test_a_new_table_is_taken_live():
    ours, other = RotaryEmbedding(8, 32), RotaryEmbedding(8, 32, base=77.0)
    x = random(1, 2, 9, 8)
    with cg.CudaEngine("host") as engine:
        engine.bind(engine.add(ours).x, x)
        engine.update()
        ours.table.value = rotary_table(32, 8, 77.0)
        engine.update()
        np.testing.assert_array_equal(engine.read(ours.y), run(other, x))
        assert engine.rebuilds == 1
    assert "table" not in ours.state_dict()


@pytest.mark.parametrize("block", [RotaryEmbedding(4, 3), PositionalEncoding(4, 3), LearnedPositionalEmbedding(3, 4)])
def test_a_position_outside_is_reported(block):
    with cg.CudaEngine("host") as engine:
        engine.bind(engine.add(block).x, random(1, 1, 2, 4))
        for value, state in ((2, "error"), (1, "ok")):
            next(iter(block.parameters.values())).value = value
            engine.update(sync=True)
            assert block.debug.state == state
            assert ("a position is outside of 0..2" in (block.debug.message or "")) == (state == "error")


@pytest.mark.parametrize("halves", [False, True])
def test_sinusoidal_positions(halves):
    if halves:
        marian = pytest.importorskip("transformers.models.marian.modeling_marian")
        theirs = marian.MarianSinusoidalPositionalEmbedding(50, 14)
        table = theirs.create_weight()
        table = theirs.weight if table is None else table
    else:
        xlm = pytest.importorskip("transformers.models.xlm.modeling_xlm")
        table = xlm.create_sinusoidal_embeddings(50, 14, torch.zeros(50, 14))
    x = random(2, 9, 14)
    ours = PositionalEncoding(14, 50, halves=halves, offset=4)
    close(run(ours, x), torch.from_numpy(x) + torch.as_tensor(table)[4:13])


def test_learned_positions_add_a_torch_embedding():
    theirs = torch.nn.Embedding(20, 6)
    ours = LearnedPositionalEmbedding(20, 6, offset=2)
    ours.load_state_dict(state_of(theirs))
    x = random(3, 7, 6)
    close(run(ours, x), torch.from_numpy(x) + theirs(torch.arange(2, 9)), 1e-6)


def test_tokens_and_positions_equal_bert():
    bert = pytest.importorskip("transformers.models.bert.modeling_bert")
    config = bert.BertConfig(
        vocab_size=31,
        hidden_size=12,
        max_position_embeddings=20,
        type_vocab_size=2,
        num_attention_heads=2,
        pad_token_id=0,
    )
    theirs = bert.BertEmbeddings(config).eval()
    theirs.LayerNorm, theirs.dropout = torch.nn.Identity(), torch.nn.Identity()
    names = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    ours = TokenPositionEmbedding(31, 20, 12, types=2, names=names)
    assert ours.load_state_dict(state_of(theirs)).complete
    generator = np.random.default_rng(0)
    ids, kinds = generator.integers(0, 31, (3, 9)), generator.integers(0, 2, (3, 9))
    close(run(ours, ids, kinds), theirs(torch.from_numpy(ids), torch.from_numpy(kinds)), 1e-6)


@pytest.mark.parametrize("heads", [1, 2, 3, 8, 12, 20, 25])
def test_alibi_equals_bloom(heads):
    bloom = pytest.importorskip("transformers.models.bloom.modeling_bloom")
    theirs = bloom.build_alibi_tensor(torch.ones(1, 9), heads, torch.float32)  # [heads, 1, keys]
    close(
        run(ALiBi(heads, form="keys"), np.zeros((1, heads, 5, 9), np.float32)),
        theirs[None].expand(1, heads, 5, 9),
        1e-6,
    )
    close(alibi_slopes(heads), theirs[:, 0, 1], 1e-7)
    causal = run(ALiBi(heads, form="causal", position=4), np.zeros((1, heads, 5, 9), np.float32))
    symmetric = run(ALiBi(heads, position=4), np.zeros((1, heads, 5, 9), np.float32))
    seen = np.tri(5, 9, 4, dtype=bool)
    np.testing.assert_array_equal(causal[..., seen], symmetric[..., seen])
    softened = torch.softmax(torch.from_numpy(np.where(seen, causal, -np.inf)), -1)
    close(softened.numpy(), torch.softmax(torch.where(torch.from_numpy(seen), theirs[None], -torch.inf), -1), 1e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("buckets", "distance"), [(32, 128), (20, 37)])
def test_relative_positions_equal_t5(bidirectional, buckets, distance):
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    config = t5.T5Config(
        d_model=12, d_kv=4, num_heads=3, relative_attention_num_buckets=buckets,
        relative_attention_max_distance=distance, is_decoder=not bidirectional,
    )  # fmt: skip
    theirs = t5.T5Attention(config, has_relative_attention_bias=True, layer_idx=0)
    ours = RelativePositionBias(3, buckets, distance, bidirectional=bidirectional)
    ours.load_state_dict({"weight": theirs.relative_attention_bias.weight.detach().numpy()})
    q, k = np.zeros((1, 3, 150, 4), np.float32), np.zeros((1, 3, 310, 4), np.float32)
    close(run(ours, q, k), theirs.compute_bias(150, 310), 0)


def test_window_positions_equal_swin():
    swin = pytest.importorskip("transformers.models.swin.modeling_swin")
    theirs = swin.SwinRelativePositionBias(3, (4, 5))
    ours = WindowPositionBias(3, 4, 5)
    table = random(7 * 9, 3)
    ours.load_state_dict({"relative_position_bias_table": table})
    theirs.load_state_dict({"relative_position_bias_table": torch.from_numpy(table)})
    with cg.CudaEngine("host") as engine:
        engine.add(ours)
        engine.update()
        close(engine.read(ours.bias), theirs(), 0)


def test_conditional_positions_are_a_depthwise_convolution():
    theirs = torch.nn.Conv2d(6, 6, 3, padding=1, groups=6)
    ours = ConditionalPositionEncoding(6, 4, 5, extra=1)
    ours.load_state_dict({f"proj.0.{name}": value for name, value in state_of(theirs).items()})
    x = random(2, 21, 6)
    grid = torch.from_numpy(x[:, 1:]).transpose(1, 2).reshape(2, 6, 4, 5)
    expected = (grid + theirs(grid)).flatten(2).transpose(1, 2)
    close(run(ours, x), torch.cat([torch.from_numpy(x[:, :1]), expected], 1), 2e-6)


def sinusoid(t: np.ndarray, channels: int, cos_first: bool, shift: float) -> np.ndarray:
    """The definition, in float64."""
    half = channels // 2
    angles = t.astype(np.float64)[:, None] * np.exp(-math.log(10000) * np.arange(half) / (half - shift))
    parts = (np.cos(angles), np.sin(angles))
    return np.concatenate(parts if cos_first else parts[::-1], 1)


@pytest.mark.parametrize(("cos_first", "shift"), [(True, 0.0), (False, 1.0)])
def test_timesteps(cos_first, shift):
    t = np.array([0, 1, 17.5, 250, 999], np.float32)
    features = sinusoid(t, 32, cos_first, shift)
    close(run(TimestepSinusoid(32, cos_first=cos_first, shift=shift), t), features, 5e-5)  # angles up to 999 in float32
    first, second = torch.nn.Linear(32, 48), torch.nn.Linear(48, 48)
    ours = DiffusionTimestepEmbed(32, 48, cos_first=cos_first, shift=shift)
    layers = SimpleNamespace(linear_1=first, linear_2=second)
    ours.load_state_dict(
        {f"{name}.{key}": v for name, layer in vars(layers).items() for key, v in state_of(layer).items()}
    )
    expected = second(torch.nn.functional.silu(first(torch.from_numpy(features).float())))
    close(run(ours, t), expected, 1e-4)


@pytest.mark.parametrize("class_token", [False, True])
def test_patches_equal_vit(class_token):
    vit = pytest.importorskip("transformers.models.vit.modeling_vit")
    config = vit.ViTConfig(hidden_size=20, image_size=(12, 8), patch_size=4, num_channels=3)
    theirs = vit.ViTEmbeddings(config).eval()
    with torch.no_grad():
        theirs.cls_token.normal_()
        theirs.position_embeddings.normal_()
    pixels = random(2, 3, 12, 8)
    state = state_of(theirs)
    if class_token:
        ours = PatchEmbedding((12, 8), 4, 3, 20, class_token=True, positions=True)
        assert ours.load_state_dict(state).complete
        close(run(ours, pixels), theirs(torch.from_numpy(pixels)))
    else:
        ours = PatchEmbedding((12, 8), 4, 3, 20)
        ours.load_state_dict({k: v for k, v in state.items() if "projection" in k})
        close(run(ours, pixels), theirs.patch_embeddings(torch.from_numpy(pixels)))
