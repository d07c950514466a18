"""Single kernels at sizes that no cache holds: times beside others', and the share of what the memory can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

import cudagraph as cg
from cudagraph import blocks as library
from cudagraph.blocks.sparse import GeoSparseLinear

from .harness import Case, Maker, Options
from .peers import array_call, on_gpu, torch_calls, torch_place
from .roofline import bandwidth, peak
from .single import one_block

FAN_IN = 8


@dataclass(frozen=True)
class Kernel:
    """One kernel's work: our block, its inputs, and the same with arrays (NumPy, CuPy) and with torch.

    `moved`: bytes for each byte of an element of the first input; `flops`: operations in all.
    """

    block: Callable[[], cg.Block]
    inputs: dict[str, tuple[int, ...]]
    arrays: Callable[..., Any]
    torch: Callable[..., Any]
    moved: float
    flops: float = 0.0
    constants: tuple[np.ndarray, ...] = ()  # that the block has already, such as an index table


def cases(options: Options) -> dict[str, Maker]:
    """Every kernel in float32, and on a GPU the ones that models use in float16 too."""
    kernels = _kernels(options)
    found: dict[str, Maker] = {f"{name}, float32": partial(_case, options, k, "float32") for name, k in kernels.items()}
    if on_gpu(options.device):
        for name, kernel in kernels.items():
            if name.startswith(("gelu", "layer norm", "RMS norm", "softmax", "attention")):
                found[f"{name}, float16"] = partial(_case, options, kernel, "float16")
    return found


@contextmanager
def _case(options: Options, kernel: Kernel, dtype: str) -> Iterator[Case]:
    random = np.random.default_rng(0)
    inputs = {name: random.standard_normal(shape, np.float32).astype(dtype) for name, shape in kernel.inputs.items()}
    operands = [*inputs.values(), *kernel.constants]
    peers, skipped = torch_calls(
        partial(_torch_call, kernel, operands, options.device), options.device, compiled=options.compiled
    )
    name, call = array_call(kernel.arrays, operands, options.device)
    if call is None:
        skipped[name] = "not installed"
    elif dtype == "float32":
        peers[name] = call
    first = next(iter(inputs.values()))
    wide = [each.astype(np.float64) if each.dtype.kind == "f" else each for each in operands]
    with one_block(
        options.device,
        kernel.block(),
        inputs,
        lambda: kernel.arrays(np, *wide),
        peers=peers,
        skipped=skipped,
        moved=kernel.moved * first.nbytes + sum(each.nbytes for each in kernel.constants),
        flops=kernel.flops,
        bandwidth=bandwidth(options),
        peak=peak(options, dtype) if kernel.flops else 0.0,
    ) as case:
        yield case


def _torch_call(kernel: Kernel, operands: list[np.ndarray], device: str, torch: Any) -> Callable[[], object]:
    tensors = [torch.from_numpy(each).to(torch_place(device)) for each in operands]
    return lambda: kernel.torch(torch, *tensors)


def _kernels(options: Options) -> dict[str, Kernel]:
    side = 96 if options.quick else 8192 if on_gpu(options.device) else 4096
    rows = {"x": (side, side)}
    size = f"{side}x{side}"
    return {
        f"gain, {size}": Kernel(lambda: library.Scale(1.5), rows, lambda xp, x: x * 1.5, lambda t, x: x * 1.5, 2),
        f"eight gains in a row, {size}": Kernel(_Gains, rows, _eight, lambda _, x: _eight(None, x), 16),
        f"gelu, {size}": Kernel(
            lambda: library.GELU("tanh"), rows, _gelu, lambda t, x: t.nn.functional.gelu(x, approximate="tanh"), 2
        ),
        f"a row added, {size}": Kernel(
            library.Add, {"a": (side, side), "b": (side,)}, lambda _, a, b: a + b, lambda _, a, b: a + b, 2
        ),
        f"sum of rows, {size}": Kernel(lambda: library.Sum(1), rows, lambda _, x: x.sum(1), lambda _, x: x.sum(1), 1),
        f"sum of columns, {size}": Kernel(
            lambda: library.Sum(0), rows, lambda _, x: x.sum(0), lambda _, x: x.sum(0), 1
        ),
        f"softmax, {size}": Kernel(library.Softmax, rows, _softmax, lambda t, x: t.softmax(x, -1), 2),
        f"layer norm, {size}": Kernel(
            lambda: library.LayerNorm(side, elementwise_affine=False),
            rows,
            _layer_norm,
            lambda t, x: t.nn.functional.layer_norm(x, (side,)),
            2,
        ),
        f"RMS norm, {size}": Kernel(
            lambda: library.RMSNorm(side, 1e-6, elementwise_affine=False),
            rows,
            lambda xp, x: x / xp.sqrt((x * x).mean(-1, keepdims=True) + 1e-6),
            lambda t, x: t.nn.functional.rms_norm(x, (side,), eps=1e-6),
            2,
        ),
        **_attention(options),
        **_sparse(options),
    }


def _attention(options: Options) -> dict[str, Kernel]:
    heads, length, width = (2, 48, 16) if options.quick else (12, 2048 if on_gpu(options.device) else 1024, 64)
    shape = (1, heads, length, width)
    return {
        f"attention, causal, {heads} heads of {length}x{width}": Kernel(
            lambda: library.ScaledDotProductAttention(causal=True),
            {"q": shape, "k": shape, "v": shape},
            _causal,
            lambda t, q, k, v: t.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True),
            4,
            2.0 * heads * length * length * width,  # two products, of which half is seen
        )
    }


def _sparse(options: Options) -> dict[str, Kernel]:
    nodes, batch = (500, 4) if options.quick else (65_536, 64)
    random = np.random.default_rng(1)
    table = random.integers(0, nodes, (nodes, FAN_IN)).astype(np.int32)
    weight = random.standard_normal((nodes, FAN_IN)).astype(np.float32)

    def block() -> GeoSparseLinear:
        made = GeoSparseLinear(table, nodes, bias=False)
        made.weight.value = weight
        return made

    def arrays(_: Any, x: Any, table: Any, weight: Any) -> Any:
        return sum(x[:, table[:, k]] * weight[:, k] for k in range(FAN_IN))

    return {
        f"sparse rows of {FAN_IN}, {nodes} nodes, batch {batch}": Kernel(
            block,
            {"x": (batch, nodes)},
            arrays,
            lambda t, x, table, weight: (x[:, table] * weight).sum(-1),
            2,
            constants=(table, weight),
        )
    }


class _Gains(cg.Block):
    """Eight gains, each a kernel of its own."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            gains = [b.child(library.Scale(1 + i / 16), f"gain{i}") for i in range(8)]
            for earlier, later in pairwise(gains):
                b.connect(earlier.y, later.x)
            self.x = b.expose(gains[0].x, "x")
            self.y = b.expose(gains[-1].y, "y")


def _eight(_: Any, x: Any) -> Any:
    for i in range(8):
        x = x * (1 + i / 16)
    return x


def _gelu(xp: Any, x: Any) -> Any:
    return 0.5 * x * (1 + xp.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x * x * x)))


def _softmax(xp: Any, x: Any) -> Any:
    raised = xp.exp(x - x.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def _layer_norm(xp: Any, x: Any) -> Any:
    return (x - x.mean(-1, keepdims=True)) / xp.sqrt(x.var(-1, keepdims=True) + 1e-5)


def _causal(xp: Any, q: Any, k: Any, v: Any) -> Any:
    scores = q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5
    hidden = xp.triu(xp.ones(scores.shape[-2:], bool), 1)
    return _softmax(xp, xp.where(hidden, -xp.inf, scores)) @ v
