"""The programs that blocks run: those of every test case, and those of models of full width."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from block_case import Case, load_cases

import cudagraph as cg
from cudagraph.blocks.models import BERT, GPT2, Llama, ResNet, ViT
from cudagraph.context import Context
from cudagraph.dtypes import parse_dtype
from cudagraph.engine.lower import lower
from cudagraph.engine.plan import KernelNode
from cudagraph.engine.resolve import TensorType
from cudagraph.port import Port
from cudagraph.program import Program

DTYPES = ("float32", "bfloat16")
SMALL = 3


@dataclass(frozen=True)
class Use:
    """A program, who runs it, and with how many threads at most."""

    program: Program
    block: str
    threads: int


# Models of full width and one layer, with the shapes of what comes in: one row at a time, and many.
MODELS: dict[str, tuple[Callable[[str], cg.Block], tuple[tuple[int, ...], ...]]] = {
    "LLaMA": (lambda dtype: Llama(num_layers=1, kv_heads=8, dtype=dtype), ((1, 1), (1, 100))),
    "GPT-2": (lambda dtype: GPT2(n_layer=1, dtype=dtype), ((1, 1), (4, 1), (2, 64))),
    "BERT": (lambda dtype: BERT(num_layers=1, dtype=dtype), ((2, 128),)),
    "ViT": (lambda dtype: ViT(num_layers=1, dtype=dtype), ((2, 3, 224, 224),)),
    "ResNet": (lambda dtype: ResNet(depths=(1, 1, 1, 1), dtype=dtype), ((2, 3, 224, 224),)),
}


def uses() -> list[Use]:
    """Every distinct program, with its largest launch."""
    found: dict[Program, Use] = {}
    for name, block, types in (*_of_cases(), *_of_models()):
        context = Context()
        context.add(block)
        plan = lower(context, types)
        for node in plan.nodes:
            if isinstance(node, KernelNode):
                program, threads = plan.programs[node.program], int(np.prod(node.threads))
                known = found.setdefault(program, Use(program, name, threads))
                if threads > known.threads:
                    found[program] = Use(program, name, threads)
    return list(found.values())


Described = tuple[str, cg.Block, dict[Port, TensorType]]


def _of_cases() -> Iterator[Described]:
    for case in load_cases(Path(__file__).with_name("blocks") / "cases"):
        for dtype in [dtype for dtype in DTYPES if dtype in case.dtypes] or case.dtypes[:1]:
            for size in sorted({SMALL, case.sizes[-1]}):
                arrays = case.inputs(np.random.default_rng(0), size, parse_dtype(dtype))
                blocks = {"": case.make(dtype)} | ({", changed": _changed(case, dtype)} if case.hot else {})
                for state, block in blocks.items():
                    types = {block.ports[name]: (array.shape, array.dtype) for name, array in arrays.items()}
                    yield f"{case}, {dtype}, size {size}{state}", block, types


def _changed(case: Case, dtype: str) -> cg.Block:
    """The block with other parameters and options, which may be macros."""
    block = case.make(dtype)
    named = {**block.parameters, **block.options}
    for name, value in case.hot.items():
        named[name].value = value
    return block


def _of_models() -> Iterator[Described]:
    for name, (make, shapes) in MODELS.items():
        for dtype in DTYPES:
            for shape in shapes:
                block = make(dtype)
                types = {port: (shape, _kind(port.dtype)) for port in block.inputs}
                yield f"{name} of {shape}, {dtype}", block, types


def _kind(dtype: Any) -> np.dtype[Any]:
    """What to bind to a port; the ports of open dtype are those of indices."""
    return np.dtype(np.int32) if isinstance(dtype, str) else dtype
