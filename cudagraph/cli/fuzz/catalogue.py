"""What the fuzzer builds pipelines of: how each kind of block is written down, and what it computes in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from cudagraph.block import Block

Shape = tuple[int, ...]
Make = Callable[[Random, Shape, str], str]
Reference = Callable[[Block, list[np.ndarray], "np.ndarray | None", int], Any]
CUSTOM_DTYPES = ("float32", "float64")
ALL_DTYPES = (*CUSTOM_DTYPES, "float16")


class Unfit(Exception):
    """A kind cannot take a tensor of this shape."""


@dataclass(frozen=True)
class Kind:
    """One kind of block. `make` writes its construction for a first input of a shape; "{init}" stands for memory.

    `memory`: an input whose contents survive ("x" of a delay), or a state. `sources`: expressions that a kernel's
    source may be replaced by, and `named` custom classes that a script has to contain.
    """

    make: Make
    dtypes: tuple[str, ...] = ALL_DTYPES
    low: float = -2.0
    alike: bool = False  # inputs have one shape, nothing broadcasts
    ordered: bool = True  # whether the order of its output is defined
    delays: bool = False
    state: str = ""
    custom: tuple[str, ...] = ()
    reference: Reference | None = None
    sources: tuple[str, ...] = ()
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # of parameters that need them
    weight: float = 1.0


def plain(text: str) -> Make:
    """A block that is written down in one way."""
    return lambda random, shape, dtype: text


def _axis(random: Random, shape: Shape, least: int = 1) -> int:
    if not shape:
        raise Unfit
    axis = random.randrange(-len(shape), len(shape))
    if shape[axis] < least:
        raise Unfit
    return axis


def _last(shape: Shape) -> int:
    if not shape or shape[-1] < 1:
        raise Unfit
    return shape[-1]


def _seed(random: Random) -> int:
    return random.randrange(100)


def _number(random: Random) -> float:
    return random.choice((0.25, 0.5, 1.0, 1.5, -1.0, 2.0))


def _reduction(name: str) -> Make:
    def make(random: Random, shape: Shape, dtype: str) -> str:
        axis = random.choice((None, _axis(random, shape)))
        return f"blocks.{name}({axis}, keepdim={random.random() < 0.5})"

    return make


def _linear(random: Random, shape: Shape, dtype: str) -> str:
    activation = random.choice(("none", "none", "relu", "gelu_tanh", "silu"))
    more = random.choice(("", "", ", alpha=0.5", ", library=False"))
    return (
        f"blocks.Linear({_last(shape)}, {random.choice((1, 3, 8))}, bias={random.random() < 0.5}, "
        f"activation={activation!r}, dtype={dtype!r}, seed={_seed(random)}{more})"
    )


def _features(text: str) -> Make:
    """`<n>` stands for the length of the last dimension."""

    def make(random: Random, shape: Shape, dtype: str) -> str:
        return (
            text.replace("<n>", str(_last(shape))).replace("<seed>", str(_seed(random))).replace("<dtype>", repr(dtype))
        )

    return make


def _along(text: str, least: int = 1) -> Make:
    """`<axis>` stands for an axis, `<half>` for half of its length."""

    def make(random: Random, shape: Shape, dtype: str) -> str:
        axis = _axis(random, shape, least)
        return text.replace("<axis>", str(axis)).replace("<half>", str(shape[axis] // 2))

    return make


def _permute(random: Random, shape: Shape, dtype: str) -> str:
    axes = list(range(len(shape)))
    random.shuffle(axes)
    if not axes:
        raise Unfit
    return f"blocks.Permute({', '.join(map(str, axes))})"


def _transpose(random: Random, shape: Shape, dtype: str) -> str:
    if len(shape) < 2:
        raise Unfit
    first, second = random.sample(range(len(shape)), 2)
    return f"blocks.Transpose({first}, {second})"


def _split(random: Random, shape: Shape, dtype: str) -> str:
    axis = _axis(random, shape, 2)
    return f"blocks.Split(({1}, {shape[axis] - 1}), axis={axis})"


def _squeeze(random: Random, shape: Shape, dtype: str) -> str:
    ones = [axis for axis, length in enumerate(shape) if length == 1]
    if not ones:
        raise Unfit
    return f"blocks.Squeeze({random.choice(ones)})"


def _unsqueeze(random: Random, shape: Shape, dtype: str) -> str:
    return f"blocks.Unsqueeze({random.randrange(len(shape) + 1)})"


def _reshape(random: Random, shape: Shape, dtype: str) -> str:
    size = int(np.prod(shape))
    return random.choice((f"blocks.Reshape(({size},))", f"blocks.Reshape((1, {size}))", f"blocks.Reshape(({size}, 1))"))


def _delay(random: Random, shape: Shape, dtype: str) -> str:
    fixed = f", shape={shape}, dtype={dtype!r}" if random.random() < 0.5 else ""
    return f"blocks.Delay({{init}}{fixed})"


def _switch(random: Random, shape: Shape, dtype: str) -> str:
    return f"Switch({random.choice((6, 24, 100))}, {_number(random)})"


_FORMULAS: dict[str, Callable[[Any, Any], Any]] = {
    "factor * x": lambda x, factor: factor * x,
    "x * x - factor": lambda x, factor: x * x - factor,
    "x < 0 ? factor * x : x": lambda x, factor: np.where(x < 0, factor * x, x),
    "factor - x": lambda x, factor: factor - x,
}
SWITCHED: dict[str, Callable[[Any, Any], Any]] = {
    "factor * x[i]": lambda x, factor: factor * x,
    "factor * x[i] - 1": lambda x, factor: factor * x - 1,
    "-x[i]": lambda x, factor: -x,
}


def _formula(random: Random, shape: Shape, dtype: str) -> str:
    return f"Formula({random.choice(list(_FORMULAS))!r}, {_number(random)})"


def _value(block: Block, name: str) -> float:
    return float(np.float32(block.parameters[name].value))


def _formula_reference(block: Any, inputs: list[np.ndarray], memory: Any, source: int) -> np.ndarray:
    return _FORMULAS[block.expression](inputs[0], _value(block, "factor"))


def _switch_reference(block: Any, inputs: list[np.ndarray], memory: Any, source: int) -> np.ndarray:
    (x,) = inputs
    factor = _value(block, "factor")
    return list(SWITCHED.values())[source](x, factor) if x.size <= block.limit else factor * x + 1


def _accumulate_reference(block: Block, inputs: list[np.ndarray], memory: Any, source: int) -> np.ndarray:
    (x,) = inputs
    return x + (memory if memory is not None and memory.shape == x.shape else 0)


def _delay_reference(block: Block, inputs: list[np.ndarray], memory: Any, source: int) -> np.ndarray:
    (x,) = inputs
    return memory if memory is not None and memory.shape == x.shape else np.zeros_like(x)


def _differences(block: Block, inputs: list[np.ndarray], memory: Any, source: int) -> np.ndarray:
    flat = 2 * inputs[0].reshape(-1)
    return np.diff(flat, prepend=0).reshape(inputs[0].shape)


def _tail(block: Block, inputs: list[np.ndarray], memory: Any, source: int) -> tuple[np.ndarray, np.ndarray]:
    whole = 3 * inputs[0].reshape(-1)
    return whole, whole[whole.size // 2 :]


def _select(block: Any, inputs: list[np.ndarray], memory: Any, source: int) -> tuple[np.ndarray, np.ndarray]:
    x = inputs[0].reshape(-1)
    return x[x > _value(block, "threshold")], np.asarray((x > _value(block, "threshold")).sum(), np.uint32)


def _pipeline(block: Block, inputs: list[np.ndarray], memory: Any, source: int) -> np.ndarray:
    (x,) = inputs
    weight = block.weights["linear/weight"].value.astype(np.float64)
    factor = next(parameter for name, parameter in block.parameters.items() if name.endswith("factor"))
    linear: Any = block.children["linear"]
    y = linear.reference(x, weight=weight, activation=block.options["linear/activation"].value)
    return np.maximum(y * np.float32(factor.value), 0) + x.mean(-1, keepdims=True)


KINDS: dict[str, Kind] = {
    **{
        name: Kind(plain(f"blocks.{name}()"))
        for name in "ReLU Tanh Sigmoid GELU Abs Neg Square Sin Cos Clone Mish Hardswish Identity".split()
    },
    **{name: Kind(plain(f"blocks.{name}()"), low=0.5) for name in ("Sqrt", "Reciprocal", "Rsqrt", "Log")},
    **{
        name: Kind(plain(f"blocks.{name}()"), weight=2)
        for name in ("Add", "Sub", "Mul", "Maximum", "Minimum", "Less", "Greater", "Where")
    },
    **{name: Kind(_reduction(name)) for name in ("Sum", "Mean", "Max", "Min", "Prod", "Var", "Std", "ArgMax")},
    "SiLU": Kind(plain("blocks.SiLU(beta=1.5)")),
    "ELU": Kind(plain("blocks.ELU(0.5)")),
    "Clamp": Kind(plain("blocks.Clamp(-0.5, 0.75)"), bounds={"low": (-2, -1), "high": (0, 2)}),
    "Scale": Kind(plain("blocks.Scale(0.5)"), weight=3),
    "ScaleFeatures": Kind(_features("blocks.Scale(features=<n>, dtype=<dtype>)")),
    "Bias": Kind(_features("blocks.Bias(<n>, dtype=<dtype>)")),
    "Temperature": Kind(plain("blocks.TemperatureScaling(2.0)"), bounds={"temperature": (0.5, 4)}),
    "VectorAdd": Kind(plain("blocks.VectorAdd(0.5)"), alike=True, weight=3),
    "Linear": Kind(_linear, weight=4),
    "FFN": Kind(_features("blocks.FFN(<n>, 5, dtype=<dtype>, seed=<seed>)")),
    "LayerNorm": Kind(_features("blocks.LayerNorm(<n>, dtype=<dtype>)"), bounds={"eps": (1e-5, 1e-3)}),
    "RMSNorm": Kind(_features("blocks.RMSNorm(<n>, eps=1e-5, dtype=<dtype>)"), bounds={"eps": (1e-5, 1e-3)}),
    "Softmax": Kind(_along("blocks.Softmax(<axis>)"), bounds={"temperature": (0.5, 4)}, weight=2),
    "LogSoftmax": Kind(_along("blocks.LogSoftmax(<axis>)"), bounds={"temperature": (0.5, 4)}),
    "MatMul": Kind(plain("blocks.MatMul(transpose_b=True)"), alike=True),
    "Permute": Kind(_permute),
    "Transpose": Kind(_transpose),
    "Reshape": Kind(_reshape, weight=2),
    "Flatten": Kind(plain("blocks.Flatten(0)")),
    "Squeeze": Kind(_squeeze),
    "Unsqueeze": Kind(_unsqueeze),
    "Slice": Kind(_along("blocks.Slice(0, <half>, axis=<axis>)", 2)),
    "StridedSlice": Kind(_along("blocks.Slice(1, None, 2, axis=<axis>)", 2)),
    "Chunk": Kind(_along("blocks.Chunk(2, axis=<axis>)", 2)),
    "Split": Kind(_split),
    "Concatenate": Kind(_along("blocks.Concatenate(2, axis=<axis>)"), alike=True, weight=3),
    "Stack": Kind(_along("blocks.Stack(2, axis=<axis>)"), alike=True),
    "Flip": Kind(_along("blocks.Flip(<axis>)")),
    "Roll": Kind(_along("blocks.Roll(1, <axis>)"), bounds={"shift": (-3, 3)}),
    "Repeat": Kind(_along("blocks.Repeat(2, <axis>)")),
    "Expand": Kind(plain("blocks.Expand(3, 0)")),
    "Merge": Kind(plain("blocks.Merge(3)"), alike=True),
    "Gravity": Kind(plain("blocks.Gravity()"), ("float32",)),
    "Drag": Kind(plain("blocks.Drag()"), ("float32",), bounds={"coefficient": (0, 1), "dt": (0, 0.1)}),
    "Integrate": Kind(plain("blocks.Integrate()"), ("float32",), bounds={"bounce": (0, 1), "dt": (0, 0.1)}),
    "Delay": Kind(_delay, delays=True, reference=_delay_reference, weight=6),
    "Accumulate": Kind(
        lambda random, shape, dtype: f"Accumulate({{init}}, {dtype!r})",
        CUSTOM_DTYPES, state="total", custom=("Accumulate",), reference=_accumulate_reference, weight=5,
    ),
    "Formula": Kind(_formula, CUSTOM_DTYPES, custom=("Formula",), reference=_formula_reference, weight=3),
    "Switch": Kind(
        _switch, CUSTOM_DTYPES, custom=("Switch", "switch_source"), reference=_switch_reference,
        sources=tuple(SWITCHED), weight=6,
    ),
    "Bump": Kind(
        plain("Bump(0.5)"), CUSTOM_DTYPES, custom=("Bump",), weight=5,
        reference=lambda block, inputs, memory, source: inputs[0] + _value(block, "amount"),
    ),
    "TwoSteps": Kind(plain("TwoSteps()"), CUSTOM_DTYPES, custom=("TwoSteps",), reference=_differences, weight=2),
    "Tail": Kind(plain("Tail()"), CUSTOM_DTYPES, custom=("Tail",), reference=_tail, weight=3),
    "Select": Kind(
        plain("Select(0.25, 16)"), CUSTOM_DTYPES, custom=("Select",), reference=_select, ordered=False, weight=2
    ),
    "Mode": Kind(
        plain("Mode()"), CUSTOM_DTYPES, custom=("Mode",), weight=2,
        reference=lambda block, inputs, memory, source: inputs[0] + block.options["mode"].value,
    ),
    "Pipeline": Kind(
        _features("Pipeline(<n>, <seed>, <dtype>)"), CUSTOM_DTYPES, custom=("Pipeline",), reference=_pipeline, weight=2
    ),
}  # fmt: skip
"""All kinds by name."""
