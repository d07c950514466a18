"""Attention against torch and transformers: code that nobody here wrote."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import (
    CausalAttention,
    CrossAttention,
    GroupedQueryAttention,
    LinearAttention,
    MultiHeadAttention,
    ScaledDotProductAttention,
    SelfAttention,
    SlidingWindowAttention,
)
from cudagraph.blocks.embedding.rotary import rotary_table

torch: Any = pytest.importorskip("torch")
# In units of the largest result. The half precisions: our sums are float32, torch's CPU rounds in between.
NEAR = {"float64": 1e-13, "float32": 1e-5, "float16": 2e-3, "bfloat16": 1.6e-2}


def run(block: Any, *arrays: np.ndarray) -> np.ndarray:
    with cg.CudaEngine("host") as engine:
        engine.add(block)
        for port, array in zip(block.inputs, arrays, strict=True):
            engine.bind(port, array)
        engine.update(sync=True)
        assert block.debug.state == "ok", block.debug.message
        return engine.read(block.y)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def near(given: np.ndarray, wanted: Any, dtype: str = "float32") -> None:
    wanted = wanted.detach().float().numpy() if isinstance(wanted, torch.Tensor) else wanted
    scale = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(given.astype(np.float64), wanted, rtol=0, atol=NEAR[dtype] * scale)


def state(module: Any) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


SHAPES = [
    (2, 3, 3, 5, 7, 8),
    (1, 4, 2, 70, 70, 64),
    (2, 2, 1, 33, 130, 20),
    (1, 1, 1, 65, 200, 160),
    (1, 6, 2, 1, 9, 3),
]


@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_scaled_dot_product(shape, causal):
    batch, heads, groups, queries, keys, length = shape
    q, k = normal(batch, heads, queries, length), normal(batch, groups, keys, length, seed=1)
    v = normal(batch, groups, keys, length + 4, seed=2)
    given = run(ScaledDotProductAttention(causal, group=heads // groups), q, k, v)
    theirs = torch.nn.functional.scaled_dot_product_attention
    near(given, theirs(*map(torch.from_numpy, (q, k, v)), is_causal=causal, enable_gqa=heads != groups))


@pytest.mark.parametrize("dtype", NEAR)
def test_scaled_dot_product_of_each_type(dtype):
    parts = [torch.from_numpy(normal(2, 2, 70, 64, seed=seed)).to(getattr(torch, dtype)) for seed in range(3)]
    given = run(ScaledDotProductAttention(True, scale=0.25), *(as_numpy(part) for part in parts))
    exact = torch.nn.functional.scaled_dot_product_attention(*(p.double() for p in parts), is_causal=True, scale=0.25)
    assert given.dtype == as_numpy(parts[0]).dtype
    near(given, exact.numpy(), dtype)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("options", [{}, {"causal": True}, {"mask": "additive"}], ids=str)
def test_scaled_dot_product_by_cudnn(options, dtype):
    tensors = [normal(2, 6, 33, 64), normal(2, 2, 33, 64, seed=1), normal(2, 2, 33, 40, seed=2)]
    if "mask" in options:
        tensors.append(normal(2, 1, 33, 33, seed=3))
    parts = [torch.from_numpy(t).to(getattr(torch, dtype)) for t in tensors]
    given = run(ScaledDotProductAttention(group=3, library="cudnn", **options), *map(as_numpy, parts))
    q, k, v, *mask = (part.double() for part in parts)
    more = {"attn_mask": mask[0]} if mask else {"is_causal": "causal" in options}
    near(given, torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True, **more).numpy(), dtype)


def test_self_attention_by_cudnn_is_that_by_the_own_kernel():
    x = normal(2, 33, 48).astype(np.float16)
    own, library = (
        run(SelfAttention(48, 6, kv_heads=2, causal=True, dtype="float16", seed=3, library=name), x)
        for name in (None, "cudnn")
    )
    near(library, own.astype(np.float64), "float16")


def as_numpy(tensor: Any) -> np.ndarray:
    if tensor.dtype != torch.bfloat16:
        return tensor.numpy()
    return tensor.float().numpy().astype(cg.dtypes.parse_dtype("bfloat16"))


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 3), (2, 3)], ids=str)
@pytest.mark.parametrize("kind", ["bool", "additive"])
def test_masks_and_rows_that_see_nothing(kind, shape):
    q, k, v = (normal(2, 3, 9, 8, seed=seed) for seed in range(3))
    mask = np.random.default_rng(4).random((*shape, 9, 9)) < 0.7
    mask[:, :, 4] = False
    if kind == "additive":
        mask = np.where(mask, normal(*mask.shape, seed=5), -np.inf).astype(np.float32)
    given = run(ScaledDotProductAttention(mask=kind), q, k, v, mask)
    theirs = torch.nn.functional.scaled_dot_product_attention
    near(given, theirs(*map(torch.from_numpy, (q, k, v, mask))))
    assert (given[:, :, 4] == 0).all()


@pytest.mark.filterwarnings("ignore:flex_attention called without")
@pytest.mark.parametrize("option", ["window", "alibi", "softcap", "prefix", "last"])
def test_what_flex_attention_can_also_do(option):
    flex = pytest.importorskip("torch.nn.attention.flex_attention")
    q, k, v = normal(1, 2, 40, 16), normal(1, 2, 90, 16, seed=1), normal(1, 2, 90, 16, seed=2)
    slopes = np.array([0.5, 0.125], np.float32)
    ours, before = {
        "window": (ScaledDotProductAttention(True, window=7, aligned="last"), 50),
        "alibi": (ScaledDotProductAttention(alibi=True), 0),
        "softcap": (ScaledDotProductAttention(softcap=0.5), 0),
        "prefix": (ScaledDotProductAttention(True, prefix=70), 0),
        "last": (ScaledDotProductAttention(True, aligned="last"), 50),
    }[option]

    def score(s: Any, b: Any, h: Any, i: Any, j: Any) -> Any:
        away = i + before - j
        if option == "alibi":
            return s - torch.from_numpy(slopes)[h] * away.abs()
        if option == "softcap":
            return 0.5 * torch.tanh(s / 0.5)
        seen = (away >= 0) & (away < 7) if option == "window" else (away >= 0) | (j < 70 * (option == "prefix"))
        return torch.where(seen, s, -torch.inf)

    extra = (slopes,) if option == "alibi" else ()
    near(run(ours, q, k, v, *extra), flex.flex_attention(*map(torch.from_numpy, (q, k, v)), score_mod=score))


def test_nothing_but_nan_comes_of_nan():
    q, k, v = (normal(1, 1, 70, 8, seed=seed) for seed in range(3))
    q[0, 0, 3, 2] = np.nan
    given = run(ScaledDotProductAttention(), q, k, v)
    assert np.isnan(given[0, 0, 3]).all()
    assert not np.isnan(np.delete(given, 3, axis=2)).any()


@pytest.mark.parametrize("widths", [{}, {"kdim": 7, "vdim": 5}], ids=["packed", "separate"])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_multi_head_attention(widths, masked):
    theirs = torch.nn.MultiheadAttention(24, 3, batch_first=True, **widths)
    torch.nn.init.normal_(theirs.in_proj_bias)
    options: dict[str, Any] = {"attn_mask": "bool", "key_padding_mask": True} if masked else {}
    ours = MultiHeadAttention(24, 3, **widths, **options)
    assert ours.load_state_dict(state(theirs)).complete
    query, key = normal(2, 6, 24), normal(2, 8, widths.get("kdim", 24), seed=1)
    value = normal(2, 8, widths.get("vdim", 24), seed=2)
    hidden = np.triu(np.ones((6, 8), bool), 3)
    padding = np.arange(8) >= np.array([[8], [5]])
    masks = (hidden[None, None], padding) if masked else ()
    more = {"attn_mask": torch.from_numpy(hidden), "key_padding_mask": torch.from_numpy(padding)} if masked else {}
    wanted = theirs(*map(torch.from_numpy, (query, key, value)), need_weights=False, **more)[0]
    near(run(ours, query, key, value, *masks), wanted)


def test_self_attention_loads_what_torch_packs():
    theirs = torch.nn.MultiheadAttention(24, 3, batch_first=True)
    ours = SelfAttention(24, 3, mask="keys", residual=True)
    assert ours.load_state_dict(state(theirs)).complete
    x, residual = normal(2, 7, 24), normal(2, 7, 24, seed=1)
    real = np.arange(7) < np.array([[7], [4]])
    t = torch.from_numpy(x)
    wanted = theirs(t, t, t, key_padding_mask=torch.from_numpy(~real))[0] + torch.from_numpy(residual)
    near(run(ours, x, residual, real), wanted)


def test_cross_attention():
    theirs = torch.nn.MultiheadAttention(24, 3, batch_first=True, kdim=10, vdim=10)
    ours = CrossAttention(24, 3, context_dim=10)
    weights = state(theirs)
    biases = np.split(weights.pop("in_proj_bias"), 3)
    names = {f"{n}_proj.bias": bias for n, bias in zip("qkv", biases, strict=True)}
    names |= {name.replace("_weight", ".weight"): value for name, value in weights.items()}
    assert ours.load_state_dict(names).complete
    x, context = normal(2, 5, 24), normal(2, 9, 10, seed=1)
    c = torch.from_numpy(context)
    near(run(ours, x, context), theirs(torch.from_numpy(x), c, c)[0])


def llama(window: int | None = None) -> tuple[Any, Any]:
    pytest.importorskip("transformers")
    from transformers import LlamaConfig, MistralConfig
    from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding
    from transformers.models.mistral.modeling_mistral import MistralAttention

    sizes = {"hidden_size": 30, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 10}
    if window is None:
        config = LlamaConfig(**sizes, attn_implementation="eager")
        return LlamaAttention(config, 0), LlamaRotaryEmbedding(config)
    config = MistralConfig(**sizes, sliding_window=window, attn_implementation="eager")
    return MistralAttention(config, 0), LlamaRotaryEmbedding(config)


@pytest.mark.parametrize("window", [None, 4], ids=["llama", "mistral"])
def test_tokens_one_by_one_give_what_all_at_once_give(window):
    theirs, rotary = llama(window)
    x = normal(2, 21, 30)
    away = np.arange(21)[:, None] - np.arange(21)
    mask = np.where((away >= 0) & (away < (window or 21)), 0, -np.inf).astype(np.float32)[None, None]
    angles = rotary(torch.from_numpy(x), torch.arange(21)[None])
    wanted = theirs(torch.from_numpy(x), angles, torch.from_numpy(mask))[0].detach().numpy()
    options: dict[str, Any] = {"head_dim": 10, "bias": False, "rope": rotary_table(32, 10), "causal": True}
    ours = GroupedQueryAttention(30, 6, 2, window=window, cache=24, **options)
    assert ours.load_state_dict(state(theirs)).complete
    with cg.CudaEngine("host") as engine:
        engine.add(ours)
        given = []
        for begin, end in [(0, 11), (11, 13), *((t, t + 1) for t in range(13, 21))]:
            ours.position.value = begin
            engine.bind(ours.x, x[:, begin:end])
            engine.update()
            given.append(engine.read(ours.y))
        assert engine.rebuilds == 3  # one per number of tokens; not one per token
    near(np.concatenate(given, axis=1), wanted)
    without = GroupedQueryAttention(30, 6, 2, window=window, **options)
    without.load_state_dict(state(theirs))
    near(run(without, x), wanted)


def test_gpt2_attention_one_by_one():
    pytest.importorskip("transformers")
    from transformers import GPT2Config
    from transformers.models.gpt2.modeling_gpt2 import GPT2Attention

    theirs = GPT2Attention(GPT2Config(n_embd=24, n_head=3, attn_implementation="sdpa"), layer_idx=0).eval()
    for weight in theirs.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    x = normal(1, 12, 24)
    mask = torch.full((1, 1, 12, 12), -torch.inf).triu(1)
    wanted = theirs(torch.from_numpy(x), attention_mask=mask)[0]
    ours = CausalAttention(24, 3, cache=12)
    assert ours.load_state_dict(state(theirs)).complete
    with cg.CudaEngine("host") as engine:
        engine.add(ours)
        given = []
        for t in range(12):
            ours.position.value = t
            engine.bind(ours.x, x[:, t : t + 1])
            engine.update(sync=True)
            given.append(engine.read(ours.y))
        near(np.concatenate(given, axis=1), wanted)
        assert engine.rebuilds == 1
        kept = engine.read(ours.k_cache)
        ours.position.value = 12
        engine.update(sync=True)
        assert ours.debug.state == "error"
        assert "position is too large" in ours.debug.message
        np.testing.assert_array_equal(engine.read(ours.k_cache), kept)
        ours.position.value = 11
        engine.update(sync=True)
        assert ours.debug.state == "ok"


def test_one_position_drives_all_layers():
    class Layers(cg.Block):
        """y = second(first(x))."""

        def __init__(self, shared: bool) -> None:
            super().__init__()
            with cg.BlockBuilder(self) as b:
                self.position = b.parameter("position", 0, "int32", low=0)
                given = {"position": self.position} if shared else {}
                options: dict[str, Any] = {"cache": 8, "rope": rotary_table(8, 4), "seed": 1}
                self.first = CausalAttention(8, 2, **options, **given)
                self.second = CausalAttention(8, 2, **options, **given)
                self.x = b.input("x", ("B", "T", 8))
                self.y = b.expose(b.apply(self.second, b.apply(self.first, self.x)), "y")

    x, results = normal(1, 5, 8), []
    for shared in (True, False):
        layers = Layers(shared)
        with cg.CudaEngine("host") as engine:
            engine.add(layers)
            for t in range(5):
                parameters = [layers.position] if shared else [layers.first.position, layers.second.position]
                for parameter in parameters:
                    parameter.value = t
                engine.bind(layers.x, x[:, t : t + 1])
                engine.update()
            results.append(engine.read(layers.y))
    np.testing.assert_array_equal(*results)


def test_sliding_window_is_its_mask():
    theirs = torch.nn.MultiheadAttention(24, 3, batch_first=True)
    ours = SlidingWindowAttention(24, 3, 5)
    ours.load_state_dict(state(theirs))
    x = normal(1, 90, 24)
    away = np.arange(90)[:, None] - np.arange(90)
    t = torch.from_numpy(x)
    near(run(ours, x), theirs(t, t, t, attn_mask=torch.from_numpy((away < 0) | (away >= 5)))[0])


@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
def test_linear_attention(causal):
    """The definition, token by token in float64, as in the paper's equations 9 to 12."""
    q, k, v = (normal(1, 2, 70, 16, seed=seed) for seed in range(3))
    phi = [torch.nn.functional.elu(torch.from_numpy(part).double()) + 1 for part in (q, k)]
    value = torch.from_numpy(v).double()
    products = torch.einsum("bhjd,bhje->bhjde", phi[1], value)
    states, totals = products.cumsum(2), phi[1].cumsum(2)
    if not causal:
        states, totals = states[:, :, -1:].expand_as(states), totals[:, :, -1:].expand_as(totals)
    above = torch.einsum("bhid,bhide->bhie", phi[0], states)
    near(run(LinearAttention(causal), q, k, v), (above / ((phi[0] * totals).sum(-1, keepdim=True) + 1e-6)).numpy())
