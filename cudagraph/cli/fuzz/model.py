"""What a pipeline should be, apart from any engine: its blocks, what feeds them, and what NumPy says of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cudagraph import blocks
from cudagraph.block import Block
from cudagraph.port import AppendPort, Port

from . import custom
from .catalogue import KINDS, Kind

Values = dict[tuple[str, str], np.ndarray]
NAMES: dict[str, Any] = {
    "np": np,
    "blocks": blocks,
    "inf": np.inf,
    "nan": np.nan,
    "array": custom.array,
    **{name: getattr(custom, name) for kind in KINDS.values() for name in kind.custom},
}
"""What the lines of a script may use."""


class Invalid(Exception):
    """The pipeline cannot run: shapes or types do not fit."""


@dataclass(frozen=True)
class ArraySpec:
    """A bound array."""

    seed: int
    shape: tuple[int, ...]
    dtype: str
    low: float = -2.0
    high: float = 2.0

    def __str__(self) -> str:
        dtype = "blocks.PARTICLE" if self.dtype == "PARTICLE" else repr(self.dtype)
        return f"array({self.seed}, {self.shape}, {dtype}, {self.low}, {self.high})"

    def make(self) -> np.ndarray:
        """The array itself."""
        return custom.array(self.seed, self.shape, dtype_named(self.dtype), self.low, self.high)


@dataclass(frozen=True)
class Wire:
    """A wire from an output; `fallback` is bound in its place when the source is gone."""

    source: str
    port: str
    fallback: ArraySpec


Feed = ArraySpec | Wire


def dtype_named(name: str) -> np.dtype[Any]:
    """The dtype behind a name in a script."""
    return blocks.PARTICLE if name == "PARTICLE" else np.dtype(name)


def name_of(dtype: np.dtype[Any]) -> str:
    """How a script names a dtype."""
    return "PARTICLE" if dtype.names else dtype.name


@dataclass
class Node:
    """A block of the pipeline. `block` is described only, and never runs; `memory` is what survived the last frame."""

    name: str
    kind: Kind
    text: str
    feeds: dict[str, Feed]
    settings: dict[str, str] = field(default_factory=dict)  # assignments after construction, by what is assigned
    source: int = 0
    memory: np.ndarray | None = None
    block: Any = None

    def __post_init__(self) -> None:
        if self.block is None:
            self._describe()

    def _describe(self) -> None:
        self.block = eval(self.text.format(init=0), dict(NAMES))
        _ = [weight.value for weight in self.block.weights.values()]  # see `steps.added_lines`
        for key, text in self.settings.items():
            exec(f"block.{key} = {text}", {**NAMES, "block": self.block})

    def set(self, key: str, text: str) -> None:
        """Assign a parameter, option or weight."""
        self.settings[key] = text
        self._describe()  # copies share a block

    def copy(self) -> Node:
        """The same block, to be edited apart."""
        return replace(self, feeds=dict(self.feeds), settings=dict(self.settings))

    def dtype_of(self, port: Port, dtype: str) -> str:
        """The dtype of a port in a pipeline of `dtype`."""
        return dtype if isinstance(port.dtype, str) else name_of(port.dtype)

    def reference(self, inputs: list[np.ndarray], memory: np.ndarray | None) -> dict[str, np.ndarray]:
        """Each output in NumPy."""
        block: Block = self.block
        if self.kind.reference is not None:
            result = self.kind.reference(block, inputs, memory, self.source)
        else:
            named = {name: _parameter(item) for name, item in block.parameters.items()}
            named |= {name: widened(item.value) for name, item in block.weights.items()}
            named |= {name: item.value for name, item in block.options.items()}
            result = block.reference(*inputs, **named)  # type: ignore[attr-defined]
        results = result if isinstance(result, tuple) else (result,)
        return {port.name: np.asarray(one) for port, one in zip(block.outputs, results, strict=True)}


@dataclass
class Model:
    """The whole pipeline, in order of addition: wires lead from older to newer blocks, or into a delay."""

    dtype: str = "float32"
    nodes: dict[str, Node] = field(default_factory=dict)
    frames: int = 0  # that an engine ran since it was opened

    def copy(self) -> Model:
        """The same pipeline, to be edited apart."""
        return Model(self.dtype, {name: node.copy() for name, node in self.nodes.items()}, self.frames)

    def consumers(self, name: str) -> Iterator[tuple[Node, str, Wire]]:
        """Every wire that leaves a block, with where it ends."""
        for node in self.nodes.values():
            for port, feed in node.feeds.items():
                if isinstance(feed, Wire) and feed.source == name:
                    yield node, port, feed

    def dtype_of(self, name: str, port: str) -> str:
        """The dtype of a port."""
        node = self.nodes[name]
        return node.dtype_of(node.block.ports[port], self.dtype)

    def input(self, feed: Feed, values: Values) -> np.ndarray:
        """What a feed brings, from the outputs at hand."""
        return feed.make() if isinstance(feed, ArraySpec) else values[feed.source, feed.port]

    def evaluate(self) -> Values:
        """Every output of the next frame, computed in NumPy; `Invalid` when shapes do not fit."""
        guesses = {name: node.memory for name, node in self.nodes.items() if node.kind.delays}
        for _ in range(3):
            values = self._pass(guesses)
            wrong = False
            for name in guesses:
                node = self.nodes[name]
                x = self.input(node.feeds["x"], values)
                if not tuple(node.block.x.shape)[:1] == (...,) and tuple(node.block.x.shape) != x.shape:
                    raise Invalid(f"{name} has another shape")
                if x.shape != values[name, "y"].shape:
                    guesses[name], wrong = np.zeros_like(x), True
            if not wrong:
                return values
        raise Invalid("a circle grows")

    def _pass(self, guesses: dict[str, np.ndarray | None]) -> Values:
        values: Values = {}
        for node in self.nodes.values():
            if node.kind.delays:
                values[node.name, "y"] = self._delayed(node, guesses[node.name], values)
                continue
            try:
                inputs = [widened(self.input(node.feeds[port.name], values)) for port in node.block.inputs]
                with np.errstate(all="ignore"):
                    results = node.reference(inputs, node.memory)
            except (ValueError, IndexError, KeyError, TypeError, ZeroDivisionError) as error:
                raise Invalid(f"{node.name}: {error!r}") from error
            for port, array in zip(node.block.inputs, inputs, strict=True):
                if not fits(tuple(port.shape), array.shape):
                    raise Invalid(f"{node.name}.{port.name} does not take {array.shape}")
            if node.kind.alike and len({array.shape for array in inputs}) > 1:
                raise Invalid(f"the inputs of {node.name} differ in shape")
            values |= {(node.name, port): result for port, result in results.items()}
        return values

    def _delayed(self, node: Node, guess: np.ndarray | None, values: Values) -> np.ndarray:
        """A delay's output; what feeds it may come later, when there is a circle."""
        feed = node.feeds["x"]
        if isinstance(feed, ArraySpec):
            return node.reference([widened(feed.make())], guess)["y"]
        known = values.get((feed.source, feed.port))
        if known is not None:
            return node.reference([known], guess)["y"]
        fixed = tuple(node.block.x.shape)
        shape = feed.fallback.shape if fixed[:1] == (...,) else fixed
        return guess if guess is not None else np.zeros(shape)


def fits(wanted: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    """Whether a shape has the fixed lengths of a port's shape, which may have one rest."""
    rest = [index for index, item in enumerate(wanted) if item is ... or (isinstance(item, str) and item[:1] == "*")]
    before, after = (wanted, ()) if not rest else (wanted[: rest[0]], wanted[rest[0] + 1 :])
    if len(shape) < len(before) + len(after) or (not rest and len(shape) != len(wanted)):
        return False
    pairs = [*zip(before, shape, strict=False), *zip(reversed(after), reversed(shape), strict=False)]
    return all(not isinstance(item, int) or item == length for item, length in pairs)


def widened(array: np.ndarray) -> np.ndarray:
    """Floats as float64: references compute in the precision of what they are given."""
    array = np.asarray(array)
    return array if array.dtype.names or array.dtype.kind in "iub" else array.astype(np.float64)


def _parameter(parameter: Any) -> Any:
    value = np.asarray(parameter.value, parameter.dtype)
    return value.item() if value.ndim == 0 else value.astype(np.float64)


def is_wirable(node: Node, port: Port) -> bool:
    """Whether others may read this output: not what is appended, in no order."""
    appended = {one for each in node.block.outputs if isinstance(each, AppendPort) for one in (each, each.count)}
    return port not in appended
