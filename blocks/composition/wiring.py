"""Blocks and the connections between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.port import Port

from ..channel_mixing.linear import Linear
from .delay import Delay
from .merge import Merge
from .residual import add, children
from .wrapped import entry, expose_others, result

Blocks = Mapping[str, Block] | Sequence[Block]


class Wiring(Block):
    """Named blocks and connections (from, to): each block's x is the sum of the y of all blocks that lead to it.

    x and y are the ports where one block has nothing before it, and one nothing after it; where there are several, they
    keep the block's name: x_name, y_name. A sequence of blocks is named "0", "1", .... Sums of several are one kernel;
    blocks that do not depend on each other may run at the same time. A circle leads through a `Delay`.
    `DescriptionError` for unknown names, other circles and no blocks.
    """

    def __init__(self, blocks: Blocks, connections: Iterable[tuple[str | int, str | int]] = ()) -> None:
        super().__init__()
        named = _named(blocks)
        before = _before(named, [(str(start), str(end)) for start, end in connections])
        with BlockBuilder(self) as b:
            for name, block in named.items():
                b.child(block, name)
            expose_others(b, *named.values())
            starts = [name for name in named if not before[name]]
            for name in starts:
                label = "x" if len(starts) == 1 else f"x_{name}"
                setattr(self, label, b.expose(entry("Wiring", named[name]), label))
            for name, earlier in before.items():
                if earlier:
                    outputs = [result("Wiring", named[other]) for other in earlier]
                    b.connect(self._sum(b, name, outputs), entry("Wiring", named[name]))
            ends = [name for name in named if not any(name in earlier for earlier in before.values())]
            for name in ends:
                label = "y" if len(ends) == 1 else f"y_{name}"
                setattr(self, label, b.expose(result("Wiring", named[name]), label))

    def _sum(self, b: BlockBuilder, name: str, outputs: list[Port]) -> Port:
        if len(outputs) == 1:
            return outputs[0]
        total = b.child(Merge(len(outputs)), f"into_{name}")
        for source, destination in zip(outputs, total.xs, strict=True):
            b.connect(source, destination)
        return total.y


class SequentialWiring(Wiring):
    """y = last(...(second(first(x)))): a `Wiring` whose blocks follow each other."""

    def __init__(self, blocks: Blocks) -> None:
        names = list(_named(blocks))
        super().__init__(blocks, pairwise(names))


class ResidualWiring(Block):
    """x_{i+1} = x_i + f_i(x_i), y the last of them: blocks in a row, each with a residual.

    x, y: [...] of the first block's type. Blocks that take a residual themselves (`Linear(residual=True)`, ...) add it
    in their last pass; for others it is one kernel. `DescriptionError` for no blocks.
    """

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        named = _named(blocks)
        first = entry("ResidualWiring", next(iter(named.values())))
        with BlockBuilder(self) as b:
            self.x = b.input("x", tuple(first.shape), first.dtype)
            for name, block in named.items():
                b.child(block, name)
            expose_others(b, *named.values())
            x = self.x
            last = next(reversed(named))
            for name, block in named.items():
                x = add(b, "ResidualWiring", block, x, x, name="y" if name == last else f"after_{name}")
            self.y = x


class InputBlock(Block):
    """y = x, or with `units` y = x * weight + bias, a factor and a shift per feature: where data enters a wiring.

    x, y: [...] of any type, or [..., units] of float32. Without units y is x's own memory.
    """

    def __init__(self, units: int | None = None) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            if units is None:
                self.x = b.input("x", ("*all",), "T")
                self.y = b.view(self.x, self.x.shape, name="y")
                return
            self.x = b.input("x", (..., units))
            self.weight = b.weight("weight", (units,), init=1)
            self.bias = b.weight("bias", (units,))
            self.y = b.output("y", self.x.shape)
            b.elementwise("y = x * weight + bias", x=self.x, weight=self.weight, bias=self.bias, y=self.y)

    @staticmethod
    def reference(x: np.ndarray, *, weight: np.ndarray | None = None, bias: np.ndarray | None = None) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        y = x if weight is None else x * weight
        return y if bias is None else y + bias


class HiddenBlock(Block):
    """y = activation(x @ weight.T + bias): a named group of `units` neurons of a wiring.

    x: [..., I], y: [..., units] of `dtype`; child `linear`, activation ("tanh", ...) a live choice.
    """

    def __init__(
        self,
        in_features: int,
        units: int,
        activation: str = "tanh",
        *,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.linear = Linear(in_features, units, activation=activation, dtype=dtype, seed=seed)
        with BlockBuilder(self) as b:
            children(b, self.linear)
            self.x, self.y = b.expose(self.linear.x), b.expose(self.linear.y)


class OutputBlock(Block):
    """y = x, or with features and units y = x @ weight.T + bias: where results leave a wiring.

    x, y: [...] of any type, or [..., in_features] and [..., units] of `dtype`; child `linear`. Without, y is x's own
    memory.
    """

    def __init__(
        self,
        in_features: int | None = None,
        units: int | None = None,
        *,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if (in_features is None) != (units is None):
            raise DescriptionError("OutputBlock takes both in_features and units, or neither")
        with BlockBuilder(self) as b:
            if in_features is None or units is None:
                self.x = b.input("x", ("*all",), "T")
                self.y = b.view(self.x, self.x.shape, name="y")
                return
            self.linear = b.child(Linear(in_features, units, dtype=dtype, seed=seed))
            self.x, self.y = b.expose(self.linear.x), b.expose(self.linear.y)


def _named(blocks: Blocks) -> dict[str, Block]:
    named = dict(blocks) if isinstance(blocks, Mapping) else {str(i): block for i, block in enumerate(blocks)}
    if not named:
        raise DescriptionError("a wiring has at least one block")
    return named


def _before(named: Mapping[str, Block], connections: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Which blocks lead to each block; `DescriptionError` for names that are not known, and for circles."""
    before: dict[str, list[str]] = {name: [] for name in named}
    for start, end in connections:
        for name in (start, end):
            if name not in named:
                raise DescriptionError(f"there is no block {name!r} in the wiring; it has {', '.join(named)}")
        before[end].append(start)
    try:
        now = {
            end: [start for start in starts if not isinstance(named[start], Delay)] for end, starts in before.items()
        }
        TopologicalSorter(now).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise DescriptionError(f"the wiring runs in a circle: {circle}; put a Delay into it") from None
    return before
