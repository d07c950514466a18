"""Layers of neural networks with the same weights, ours and torch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

import cudagraph as cg
from cudagraph import blocks as library

from .harness import Absent, Case, Maker, Options
from .peers import on_gpu, torch_calls, torch_module, torch_place
from .single import one_block

_BOUNDS = {"float32": 5e-5, "float16": 5e-3}  # of chains of products with thousands of terms


@dataclass(frozen=True)
class Layer:
    """A block for a dtype, torch's module, the input's shape, and how torch calls it where that is not `module(x)`."""

    block: Callable[[str], cg.Block]
    module: Callable[[Any], Any]
    shape: tuple[int, ...]
    call: Callable[[Any, Any], Any] = lambda module, x: module(x)
    by_cudnn: Callable[[str], cg.Block] | None = None


def cases(options: Options) -> dict[str, Maker]:
    """Every layer in float32; on a GPU in float16 too, and there what cuDNN can do once by our kernels, once by it."""
    if torch_module() is None:
        raise Absent("torch is not installed, and layers are measured against it")
    dtypes = ("float32", "float16") if on_gpu(options.device) else ("float32",)
    layers = _small() if options.quick else _full()
    found: dict[str, Maker] = {
        f"{name}, {dtype}": partial(_case, options, layer, dtype) for dtype in dtypes for name, layer in layers.items()
    }
    for name, layer in layers.items():
        if on_gpu(options.device) and layer.by_cudnn is not None:
            own = replace(layer, block=layer.by_cudnn)
            found[f"{name}, by cuDNN, float16"] = partial(_case, options, own, "float16")
    return found


@contextmanager
def _case(options: Options, layer: Layer, dtype: str) -> Iterator[Case]:
    torch = torch_module()
    torch.manual_seed(0)
    module = layer.module(torch).eval().requires_grad_(False)
    block = layer.block(dtype)
    cast = getattr(torch, dtype)
    state = {
        name: tensor.to(cast) if tensor.is_floating_point() else tensor for name, tensor in module.state_dict().items()
    }
    block.load_state_dict({name: tensor.numpy() for name, tensor in state.items()})
    x = np.random.default_rng(0).standard_normal(layer.shape, np.float32).astype(dtype)
    place = torch_place(options.device)

    def make(torch: Any) -> Callable[[], object]:
        here, there = module.to(place, cast), torch.from_numpy(x).to(place)
        return lambda: layer.call(here, there)

    def wanted() -> np.ndarray:
        with torch.inference_mode():
            module.load_state_dict(state)
            wide = module.to("cpu", torch.float64)
            result = layer.call(wide, torch.from_numpy(x.astype(np.float64))).numpy()
            module.to(place, cast)
            return result

    peers, skipped = torch_calls(make, options.device, compiled=options.compiled)
    with one_block(
        options.device,
        block,
        {"x": x},
        wanted,
        bound=_BOUNDS[dtype],
        peers=peers,
        skipped=skipped,
        amount=float(np.prod(layer.shape[:-1])) if len(layer.shape) < 4 else float(layer.shape[0]),
        unit="rows" if len(layer.shape) < 4 else "images",
    ) as case:
        yield case


def _full() -> dict[str, Layer]:
    return _layers(rows=512, features=1024, batch=8, channels=64, side=56, tokens=512, heads=8)


def _small() -> dict[str, Layer]:
    return _layers(rows=10, features=64, batch=2, channels=8, side=12, tokens=20, heads=2)


def _layers(
    *, rows: int, features: int, batch: int, channels: int, side: int, tokens: int, heads: int
) -> dict[str, Layer]:
    wide, width = 4 * features, features // 2
    images, text = (batch, channels, side, side), (1, tokens, width)
    return {
        f"Linear {features} to {wide}, 1 row": Layer(
            lambda dtype: library.Linear(features, wide, dtype=dtype),
            lambda t: t.nn.Linear(features, wide),
            (1, features),
        ),
        f"Linear {features} to {wide}, {rows} rows": Layer(
            lambda dtype: library.Linear(features, wide, dtype=dtype),
            lambda t: t.nn.Linear(features, wide),
            (rows, features),
        ),
        f"LayerNorm {features}, {rows} rows": Layer(
            lambda dtype: library.LayerNorm(features, dtype=dtype), lambda t: t.nn.LayerNorm(features), (rows, features)
        ),
        f"Conv2d 3x3, {batch}x{channels}x{side}x{side}": Layer(
            lambda dtype: library.Conv2d(channels, channels, 3, padding=1, dtype=dtype),
            lambda t: t.nn.Conv2d(channels, channels, 3, padding=1),
            images,
            by_cudnn=lambda dtype: library.Conv2d(channels, channels, 3, padding=1, library="cudnn", dtype=dtype),
        ),
        f"MaxPool2d 3x3, {batch}x{channels}x{side}x{side}": Layer(
            lambda dtype: library.MaxPool2d(3, 2, 1), lambda t: t.nn.MaxPool2d(3, 2, 1), images
        ),
        f"SwiGLU {width}, {tokens} tokens": Layer(
            lambda dtype: library.SwiGLU(width, 4 * width, dtype=dtype), partial(_swiglu, width, 4 * width), text
        ),
        f"self-attention, {heads} heads, {tokens} tokens of {width}": Layer(
            lambda dtype: library.SelfAttention(width, heads, dtype=dtype),
            lambda t: t.nn.MultiheadAttention(width, heads, batch_first=True),
            text,
            lambda module, x: module(x, x, x, need_weights=False)[0],
            by_cudnn=lambda dtype: library.SelfAttention(width, heads, library="cudnn", dtype=dtype),
        ),
        f"transformer encoder layer, {heads} heads, {tokens} tokens of {width}": Layer(
            lambda dtype: library.TransformerEncoderBlock(width, heads, 4 * width, activation="gelu", dtype=dtype),
            lambda t: t.nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True),
            text,
        ),
    }


def _swiglu(features: int, hidden: int, torch: Any) -> Any:
    """torch has none: the one that models write."""

    class SwiGLU(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate_proj = torch.nn.Linear(features, hidden, bias=False)
            self.up_proj = torch.nn.Linear(features, hidden, bias=False)
            self.down_proj = torch.nn.Linear(hidden, features, bias=False)

        def forward(self, x: Any) -> Any:
            return self.down_proj(torch.nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))

    return SwiGLU()
