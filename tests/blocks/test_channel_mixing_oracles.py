"""Linear layers, feed-forward networks and matrix products against torch and transformers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import (
    FFN,
    DenseMLP,
    Einsum,
    EmbeddingToLogits,
    Expert,
    GatedFFN,
    GatedLinear,
    GeGLU,
    Linear,
    MatMul,
    MLPBlock,
    Projection,
    SwiGLU,
)
from cudagraph.source import KERNELS

torch: Any = pytest.importorskip("torch")


def run(block: Any, **arrays: np.ndarray) -> np.ndarray:
    with cg.CudaEngine("host") as engine:
        engine.add(block)
        for name, array in arrays.items():
            engine.bind(block.ports[name], array)
        engine.update()
        return engine.read(block.ports["y"])


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def arrays_of(module: Any) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def close(given: np.ndarray, expected: Any, tolerance: float = 1e-5) -> None:
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else expected
    assert given.shape == expected.shape
    np.testing.assert_allclose(given, expected, rtol=0, atol=tolerance * max(1.0, np.abs(expected).max(initial=0)))


@pytest.mark.parametrize("library", [True, False], ids=["library", "kernels"])
@pytest.mark.parametrize("rows", [1, 5, 8, 9, 70])
@pytest.mark.parametrize(
    ("activation", "theirs"),
    [
        ("none", lambda y: y),
        ("relu", torch.relu),
        ("gelu", torch.nn.functional.gelu),
        ("gelu_tanh", lambda y: torch.nn.functional.gelu(y, approximate="tanh")),
        ("silu", torch.nn.functional.silu),
    ],
)
def test_linear_with_residual(activation, theirs, rows, library):
    module = torch.nn.Linear(37, 19)
    ours = Linear(37, 19, activation=activation, residual=True, library=library)
    ours.load_state_dict(arrays_of(module))
    x, residual = numbers(rows, 37), numbers(rows, 19, seed=1)
    close(run(ours, x=x, residual=residual), theirs(module(torch.from_numpy(x)) + torch.from_numpy(residual)))


def test_no_rows_are_no_work():
    assert run(Linear(5, 3), x=np.zeros((0, 5), np.float32)).shape == (0, 3)
    assert run(GatedLinear(5, 3), x=np.zeros((0, 5), np.float32)).shape == (0, 3)


@pytest.mark.parametrize("rows", [3, 20])
def test_a_view_that_is_not_aligned(rows):
    class Shifted(cg.Block):
        def __init__(self) -> None:
            super().__init__()
            with cg.BlockBuilder(self) as b:
                self.x = b.input("x", (rows * 8 + 1,))
                self.linear = Linear(8, 6, seed=0)
                b.expose(b.apply(self.linear, b.view(self.x, (rows, 8), offset=1)), "y")

    block, x = Shifted(), numbers(rows * 8 + 1)
    weights = block.linear.weight.value, block.linear.bias.value
    close(run(block, x=x), x[1:].reshape(rows, 8) @ weights[0].T + weights[1])


def test_linear_takes_the_conv1d_of_gpt2():
    module = pytest.importorskip("transformers.pytorch_utils").Conv1D(11, 7)
    ours = Linear(7, 11, transposed=True)
    ours.load_state_dict(arrays_of(module))
    x = numbers(2, 3, 7)
    close(run(ours, x=x), module(torch.from_numpy(x)))
    assert ours.state_dict()["weight"].shape == (7, 11)


@pytest.mark.parametrize("rows", [2, 30])
def test_ffn_is_the_mlp_of_gpt2(rows):
    gpt2 = pytest.importorskip("transformers.models.gpt2.modeling_gpt2")
    config = pytest.importorskip("transformers").GPT2Config(n_embd=12)
    module = gpt2.GPT2MLP(48, config).eval()
    ours = FFN(12, activation="gelu_tanh", names=("c_fc", "c_proj"), transposed=True)
    ours.load_state_dict(arrays_of(module))
    x = numbers(rows, 12)
    close(run(ours, x=x), module(torch.from_numpy(x)))


def test_ffn_is_linear_gelu_linear():
    first, second = torch.nn.Linear(10, 40), torch.nn.Linear(40, 6)
    ours = FFN(10, out_features=6)
    named = {"fc1": first, "fc2": second}
    ours.load_state_dict({f"{name}.{key}": value for name, m in named.items() for key, value in arrays_of(m).items()})
    x = numbers(3, 4, 10)
    close(run(ours, x=x), second(torch.nn.functional.gelu(first(torch.from_numpy(x)))))


@pytest.mark.parametrize("rows", [1, 8, 9, 40])
@pytest.mark.parametrize("activation", ["silu", "gelu_tanh"])
def test_gated_ffn_is_the_mlp_of_llama(activation, rows):
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    hidden_act = {"silu": "silu", "gelu_tanh": "gelu_pytorch_tanh"}[activation]
    config = SimpleNamespace(hidden_size=24, intermediate_size=56, mlp_bias=True, hidden_act=hidden_act)
    module = llama.LlamaMLP(config)
    ours = GatedFFN(24, 56, activation=activation, bias=True)
    ours.load_state_dict(arrays_of(module))
    x = numbers(rows, 24)
    close(run(ours, x=x), module(torch.from_numpy(x)))


def test_swiglu_has_the_names_and_the_width_of_llama():
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    config = SimpleNamespace(hidden_size=24, intermediate_size=256, mlp_bias=False, hidden_act="silu")
    module, ours = llama.LlamaMLP(config), SwiGLU(24)
    ours.load_state_dict(arrays_of(module))
    x = numbers(2, 24)
    close(run(ours, x=x), module(torch.from_numpy(x)))
    assert SwiGLU(4096).down_proj.weight.shape[1] == 11008  # LLaMA 7B
    phi = {"gate_up_proj.weight": ours.gate_up_proj.weight.value, "down_proj.weight": ours.down_proj.weight.value}
    assert SwiGLU(24).load_state_dict(phi).complete


def test_geglu_is_the_feed_forward_of_t5():
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    config = SimpleNamespace(d_model=16, d_ff=28, dropout_rate=0.0, dense_act_fn="gelu_new")
    module = t5.T5DenseGatedActDense(config).eval()
    ours = GeGLU(16, 28, activation="gelu_tanh", names=("wi_0", "wi_1", "wo"))
    ours.load_state_dict(arrays_of(module))
    x = numbers(12, 16)
    close(run(ours, x=x), module(torch.from_numpy(x)))


def test_expert_has_the_names_of_mixtral():
    w = {"w1": numbers(20, 8), "w3": numbers(20, 8, seed=1), "w2": numbers(8, 20, seed=2)}
    ours = Expert(8, 20)
    ours.load_state_dict({f"{name}.weight": value for name, value in w.items()})
    x = torch.from_numpy(numbers(12, 8, seed=3))
    t = {name: torch.from_numpy(value) for name, value in w.items()}
    close(run(ours, x=x.numpy()), (torch.nn.functional.silu(x @ t["w1"].T) * (x @ t["w3"].T)) @ t["w2"].T)


@pytest.mark.parametrize("rows", [4, 12])
def test_gated_linear_is_linear_and_glu(rows):
    module, ours = torch.nn.Linear(9, 14), GatedLinear(9, 7, value_first=True)
    ours.load_state_dict(arrays_of(module))
    x = numbers(rows, 9)
    close(run(ours, x=x), torch.nn.functional.glu(module(torch.from_numpy(x))))


def test_dense_mlp():
    layers = [torch.nn.Linear(6, 9), torch.nn.ReLU(), torch.nn.Linear(9, 9), torch.nn.ReLU(), torch.nn.Linear(9, 2)]
    module, ours = torch.nn.Sequential(*layers), DenseMLP(6, 2, 9)
    ours.load_state_dict(arrays_of(module))
    x = numbers(11, 6)
    close(run(ours, x=x), module(torch.from_numpy(x)))


def test_the_width_of_a_dense_mlp_is_that_of_psann():
    params = pytest.importorskip("psann.params")
    for target, depth, bias in ((5000, 1, True), (70_000, 3, True), (123_456, 2, False)):
        sizes = {"input_dim": 20, "output_dim": 5, "depth": depth, "bias": bias}
        width, _ = params.match_dense_width(target_params=target, **sizes)
        assert DenseMLP(20, 5, depth=depth, bias=bias, parameters=target).hidden == width


def test_mlp_block():
    norm, first, second = torch.nn.LayerNorm(8), torch.nn.Linear(8, 32), torch.nn.Linear(32, 8)
    ours, named = MLPBlock(8), {"norm": norm, "mlp.fc1": first, "mlp.fc2": second}
    ours.load_state_dict({f"{name}.{key}": value for name, m in named.items() for key, value in arrays_of(m).items()})
    x = torch.from_numpy(numbers(12, 8))
    close(run(ours, x=x.numpy()), x + second(torch.nn.functional.gelu(first(norm(x)))))


def test_projection():
    module, ours = torch.nn.Linear(12, 10), Projection((3, 4), (5, 2))
    ours.linear.load_state_dict(arrays_of(module))
    x = numbers(2, 7, 3, 4)
    close(run(ours, x=x), module(torch.from_numpy(x).flatten(-2)).unflatten(-1, (5, 2)))


@pytest.mark.parametrize("rows", [2, 20])
def test_a_head_tied_to_a_table_follows_it(rows):
    class Tied(cg.Block):
        def __init__(self) -> None:
            super().__init__()
            with cg.BlockBuilder(self) as b:
                self.encode, self.head = Linear(8, 30, bias=False), EmbeddingToLogits(8, 30, tied=True)
                self.x = b.input("x", (..., 8))
                b.child(self.encode)
                b.connect(self.x, self.encode.x)
                self.y = b.expose(b.apply(self.head, self.x, b.view(self.encode.weight, (30, 8))), "y")
                b.stored_as(self.encode.weight, "wte.weight")
                b.stored_as(self.encode.weight, "lm_head.weight")

    table, x = numbers(30, 8), numbers(rows, 8, seed=1)
    with cg.CudaEngine("host") as engine:
        block = engine.add(Tied())
        engine.bind(block.x, x)
        block.load_state_dict({"wte.weight": table, "lm_head.weight": table})
        engine.update()
        close(engine.read(block.y), torch.nn.functional.linear(torch.from_numpy(x), torch.from_numpy(table)))
        block.load_state_dict({"lm_head.weight": 2 * table})
        engine.update()
        close(engine.read(block.y), 2 * x @ table.T)
        assert engine.rebuilds == 1
    assert list(block.state_dict()) == ["wte.weight"]


@pytest.mark.parametrize(
    ("a", "b", "options"),
    [
        ((5, 4), (4, 6), {}),
        ((2, 3, 5, 4), (4, 6), {}),
        ((3, 1, 5, 4), (2, 4, 6), {}),
        ((7, 1, 4, 5), (1, 2, 6, 4), {"transpose_a": True, "transpose_b": True}),
        ((4,), (3, 4, 6), {"vector_a": True}),
        ((3, 5, 4), (4,), {"vector_b": True}),
        ((4,), (4,), {"vector_a": True, "vector_b": True}),
    ],
)
def test_matmul(a, b, options):
    x, y = numbers(*a), numbers(*b, seed=1)
    left, right = (torch.from_numpy(z) for z in (x, y))
    left = left.transpose(-1, -2) if options.get("transpose_a") else left
    right = right.transpose(-1, -2) if options.get("transpose_b") else right
    close(run(MatMul(**options), a=x, b=y), torch.matmul(left, right))


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(5, 4), (4, 6)]),
        ("ij,jk", [(5, 4), (4, 6)]),
        ("ij,kj->ki", [(5, 4), (6, 4)]),
        ("bij,bjk->bki", [(3, 5, 4), (3, 4, 6)]),
        ("bij,cjd->bicd", [(3, 5, 4), (2, 4, 6)]),
        ("bqhd,bkhd->bhqk", [(2, 5, 3, 4), (2, 6, 3, 4)]),
        ("bhqk,bkhd->bqhd", [(2, 3, 5, 6), (2, 6, 3, 4)]),
        ("abc,cba->", [(2, 3, 4), (4, 3, 2)]),
        ("i,i->", [(9,), (9,)]),
        ("i,j->ij", [(3,), (4,)]),
        ("ij,ij->ij", [(3, 4), (3, 4)]),
        ("ij,jk->k", [(5, 4), (4, 6)]),
        ("aij,jk->ik", [(3, 5, 4), (4, 6)]),
        ("ij->ji", [(5, 4)]),
        ("ijk->j", [(5, 4, 3)]),
        ("ii->", [(5, 5)]),
        ("iij->ij", [(5, 5, 3)]),
        ("iij,jk->ik", [(5, 5, 3), (3, 4)]),
        ("ba", [(5, 4)]),
        ("...ij,...jk->...ik", [(2, 3, 5, 4), (2, 3, 4, 6)]),
        ("...i,ij->...j", [(2, 3, 4), (4, 6)]),
        ("i...->...", [(5, 2, 3)]),
        ("ij,jk,kl->il", [(5, 4), (4, 6), (6, 3)]),
        ("bi,bi,b->i", [(5, 4), (5, 4), (5,)]),
        ("bi,ijk,bj->bk", [(7, 3), (3, 4, 5), (7, 4)]),
        (" i j , j k -> i k ", [(5, 4), (4, 6)]),
    ],
)
def test_einsum(equation, shapes):
    operands = [numbers(*shape, seed=i) for i, shape in enumerate(shapes)]
    expected = torch.einsum(equation, *map(torch.from_numpy, operands))
    close(run(Einsum(equation), **dict(zip("abc", operands, strict=False))), expected)


@pytest.mark.parametrize(("rows", "inner"), [(1, 45), (8, 768), (9, 45), (5, 3000)])
@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_linear_behind_a_norm(kind, rows, inner):
    """Part of the kernel for a few rows, unless they are too long for a block's memory."""
    norm = torch.nn.LayerNorm(inner, 1e-5) if kind == "layer" else torch.nn.RMSNorm(inner, 1e-5)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter, 0.5)
    layer = torch.nn.Linear(inner, 37)
    ours = Linear(inner, 37, norm=kind)
    ours.load_state_dict({f"norm.{name}": value for name, value in arrays_of(norm).items()} | arrays_of(layer))
    x = numbers(rows, inner) + 3
    close(run(ours, x=x), layer(norm(torch.from_numpy(x))), 2e-5)
    with cg.CudaEngine("recording") as engine:
        engine.add(ours)
        engine.bind(ours.x, x)
        engine.update()
        kinds = [node.name.rpartition(":")[2].removesuffix("_2") for node in engine.plan.nodes]
    assert kinds == {1: ["gemv"], 8: ["gemv"], 9: ["row_norm", "gemm"], 5: ["row_norm", "gemv"]}[rows]


def test_the_norm_of_a_gated_linear_is_live():
    ours = GatedLinear(45, 7, norm="rms", seed=0)
    plain = GatedLinear(45, 7, seed=0)
    x = numbers(3, 45)
    with cg.CudaEngine("host") as engine:
        engine.add(ours)
        engine.bind(ours.x, x)
        engine.update()
        scale = numbers(45, seed=2)
        ours.norm.weight.value, ours.norm.eps.value = scale, 0.5
        engine.update()
        assert engine.rebuilds == 1
        normed = x / np.sqrt((x * x).mean(-1, keepdims=True) + 0.5) * scale
        close(engine.read(ours.y), run(plain, x=normed.astype(np.float32)), 2e-6)


def gpu_body(kernel: str) -> str:
    """A kernel's text, in which the body for GPUs is also what the CPU runs, with fibers for its threads."""
    return (KERNELS / f"{kernel}.cu").read_text().replace("CUDAGRAPH_HOST", "NOWHERE")


@pytest.mark.parametrize(
    ("rows", "inner", "columns", "dtype"),
    [(1, 45, 7, "float32"), (3, 1032, 5, "float16"), (8, 2560, 1, "bfloat16"), (2, 256, 34, "float64")],
)
def test_the_gpu_body_of_gemv(rows, inner, columns, dtype):
    for ours in (
        Linear(inner, columns, activation="silu", residual=True, alpha=0.5, dtype=dtype, seed=0),
        GatedLinear(inner, columns, dtype=dtype, value_first=rows == 3, seed=0),
        Linear(inner, columns, dtype=dtype, norm="layer", seed=0),
        GatedLinear(inner, columns, dtype=dtype, norm="rms", seed=0),
    ):
        arrays = {"x": numbers(rows, inner), "residual": numbers(rows, columns, seed=1)}
        arrays = {port.name: arrays[port.name].astype(ours.weight.dtype) for port in ours.inputs}
        expected = run(ours, **arrays).astype(np.float64)
        ours.replace_source(gpu_body("channel_mixing/gemv"), "gemv")
        given = run(ours, **arrays).astype(np.float64)
        tolerance = {"float32": 2e-6, "float64": 1e-14, "float16": 2e-3, "bfloat16": 1e-2}[dtype]
        close(given, expected, tolerance)


@pytest.mark.parametrize("columns", [70, 1100])
def test_the_gpu_body_of_bias_activation(columns):
    ours = Linear(5, columns, activation="gelu", residual=True, library=False, seed=0)
    x, residual = numbers(11, 5), numbers(11, columns, seed=1)
    expected = run(ours, x=x, residual=residual)
    ours.replace_source(gpu_body("channel_mixing/bias_activation"), "bias_activation")
    close(run(ours, x=x, residual=residual), expected, 1e-6)


@pytest.mark.parametrize(("rows", "tier"), [(3, "code"), (16, "recapture")])
def test_another_activation_costs_what_the_work_in_the_plan_asks_for(rows, tier):
    with cg.CudaEngine("host") as engine:
        linear = engine.add(Linear(5, 4, seed=0))
        engine.bind(linear.x, np.ones((rows, 5), np.float32))
        engine.update()
        before = engine.read(linear.y)
        linear.activation.value = "relu"
        engine.update()
        assert str(engine.explain()).partition("\n")[2].strip().startswith(f"{tier}: linear.activation = 'relu'")
        assert str(engine.explain()).count("linear.activation") == 1
        np.testing.assert_array_equal(engine.read(linear.y), np.maximum(before, 0))
