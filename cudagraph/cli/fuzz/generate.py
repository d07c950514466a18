"""Chooses the next step at random, among those that should work."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np

from cudagraph.errors import DescriptionError
from cudagraph.port import Port

from .catalogue import KINDS, SWITCHED, Unfit
from .model import ArraySpec, Feed, Invalid, Model, Node, Values, Wire, is_wirable, widened
from .steps import (
    Add,
    Feeds,
    Frame,
    Line,
    Mistake,
    Place,
    Readd,
    Remove,
    Reopen,
    Set,
    SetState,
    Source,
    Step,
    broken_source,
    resolved,
)

BLOCKS = 8  # at most at once
ELEMENTS = 2048  # of a tensor, at most
SHAPES = ((3,), (8,), (1, 4), (2, 3), (3, 8), (4, 4), (2, 1, 3), (2, 3, 4), (1,), (5, 8), (40, 8), ())
_TRIES = 12


class Generator:
    """Makes steps for a model. The same random numbers make the same steps."""

    def __init__(self, random: Random, dtype: str) -> None:
        self.random = random
        self.kinds = [name for name, kind in KINDS.items() if dtype in kind.dtypes]
        self.weights = [KINDS[name].weight for name in self.kinds]
        self._made = 0

    def step(self, model: Model) -> Step:
        """Any step that should work."""
        if len(model.nodes) < 2:
            return self._checked(model, self._add) or Frame()
        choices: tuple[tuple[float, Callable[[Model], Step | None]], ...] = (
            (30, lambda model: Frame()),
            (16 if len(model.nodes) < BLOCKS else 0, self._add),
            (14, self._set),
            (8, self._rebind),
            (4, self._resize),
            (5, self._connect),
            (4, self._disconnect),
            (4, self._remove),
            (3, self._state),
            (4, self._source),
            (4, self._mistake),
            (2, self._profile),
            (2, self._keep),
            (2, self._readd),
            (1, lambda model: Reopen()),
        )
        for _ in range(_TRIES):
            make = self.random.choices([make for _, make in choices], [weight for weight, _ in choices])[0]
            step = self._checked(model, make)
            if step is not None:
                return step
        return Frame()

    def _checked(self, model: Model, make: Callable[[Model], Step | None]) -> Step | None:
        """The step, if the pipeline can run after it and no number in it is out of range."""
        for _ in range(_TRIES):
            try:
                step = make(model)
            except (Unfit, DescriptionError):
                continue
            if step is None or not step.fits(model):
                return None
            if isinstance(step, (Frame, Line, Reopen, Mistake)):
                return step
            trial = model.copy()
            try:
                step.change(trial)
                if _reasonable(trial.evaluate()):
                    return step
            except (Invalid, DescriptionError):
                pass
        return None

    # Tensors

    def _seed(self) -> int:
        return self.random.randrange(1000)

    def _array(self, shape: tuple[int, ...], dtype: str, low: float = -2.0) -> ArraySpec:
        if dtype.startswith(("int", "uint")):
            return ArraySpec(self._seed(), shape, dtype, 0, 4)
        return ArraySpec(self._seed(), shape, dtype, low if dtype != "bool" else 0, 2)

    def _outputs(self, model: Model, dtype: str) -> list[Wire]:
        """Every output of a dtype that may be wired."""
        values = model.evaluate()
        return [
            Wire(node.name, port.name, self._array(values[node.name, port.name].shape, dtype))
            for node in model.nodes.values()
            for port in node.block.outputs
            if is_wirable(node, port) and node.dtype_of(port, model.dtype) == dtype
        ]

    def _shape_for(self, first: tuple[int, ...], alike: bool) -> tuple[int, ...]:
        """A shape that may broadcast with another one."""
        if alike or not first or self.random.random() < 0.5:
            return first
        choice = self.random.randrange(3)
        if choice == 0:
            return first[self.random.randrange(len(first)) :]
        return tuple(1 if self.random.random() < 0.5 else length for length in first)

    # Steps

    def _add(self, model: Model) -> Step | None:
        kind_name = self.random.choices(self.kinds, self.weights)[0]
        kind = KINDS[kind_name]
        outputs = self._outputs(model, model.dtype)
        feed: Feed
        if outputs and self.random.random() < 0.75:
            feed = self.random.choice(outputs)
        else:
            feed = self._array(self.random.choice(SHAPES), model.dtype, kind.low)
        shape = (feed.fallback if isinstance(feed, Wire) else feed).shape
        text = kind.make(self.random, shape, model.dtype)
        self._made += 1
        node = Node(f"b{self._made}", kind, text, {})
        feeds: list[tuple[str, Feed]] = []
        for port in node.block.inputs:
            first = not feeds and node.dtype_of(port, model.dtype) == model.dtype
            feeds.append((port.name, feed if first else self._feed(model, node, port, shape)))
        return Add(node.name, kind_name, text, tuple(feeds))

    def _feed(self, model: Model, node: Node, port: Port, first: tuple[int, ...]) -> Feed:
        dtype = node.dtype_of(port, model.dtype)
        if dtype == "PARTICLE":
            first = (16,)
        elif dtype == "uint32":
            return ArraySpec(self._seed(), (), dtype, 0, 20)
        wires = [wire for wire in self._outputs(model, dtype) if not node.kind.alike or wire.fallback.shape == first]
        if wires and self.random.random() < 0.6:
            return self.random.choice(wires)
        return self._array(self._shape_for(first, node.kind.alike), dtype, node.kind.low)

    def _node(self, model: Model) -> Node:
        return self.random.choice(list(model.nodes.values()))

    def _remove(self, model: Model) -> Step | None:
        return Remove(self._node(model).name)

    def _set(self, model: Model) -> Step | None:
        node = self._node(model)
        return self._setting(node)

    def _setting(self, node: Node) -> Set | None:
        block = node.block
        choices = [("parameters", name) for name in block.parameters]
        choices += [("options", name) for name, option in block.options.items() if len(option.choices) > 1]
        choices += [("weights", name) for name in block.weights]
        if not choices:
            return None
        table, name = self.random.choice(choices)
        key = f'{table}["{name}"].value'
        item = getattr(block, table)[name]
        if table == "options":
            return Set(node.name, key, repr(self.random.choice(item.choices)))
        if table == "weights":
            return Set(node.name, key, str(self._array(tuple(item.shape), item.dtype.name)))
        low, high = node.kind.bounds.get(name, (-2, 2))
        low = max(low, -2 if item.low is None else item.low)
        values = [round(self.random.uniform(low, high), 2) for _ in range(item.width)]
        if item.dtype.kind in "iu":
            values = [round(value) for value in values]
        return Set(node.name, key, repr(values[0] if item.width == 1 else tuple(values)))

    def _bound(self, model: Model) -> list[tuple[Place, ArraySpec]]:
        return [
            ((node.name, port), feed)
            for node in model.nodes.values()
            for port, feed in node.feeds.items()
            if isinstance(feed, ArraySpec)
        ]

    def _rebind(self, model: Model) -> Step | None:
        bound = self._bound(model)
        chosen = self.random.sample(bound, min(len(bound), self.random.choice((1, 1, 2))))
        return (
            Feeds(tuple((place, ArraySpec(self._seed(), *_rest(feed))) for place, feed in chosen)) if chosen else None
        )

    def _resize(self, model: Model) -> Step | None:
        """Every array of one shape gets another shape."""
        bound = self._bound(model)
        if not bound:
            return None
        old = self.random.choice(bound)[1].shape
        new = tuple(self.random.choice((length, length + 1, 2 * length, max(1, length - 1), 1)) for length in old)
        if self.random.random() < 0.2:
            new = self.random.choice(SHAPES)
        chosen = [(place, feed) for place, feed in bound if feed.shape == old]
        if self.random.random() < 0.3:
            chosen = chosen[:1]
        return Feeds(
            tuple((place, ArraySpec(feed.seed, new, feed.dtype, feed.low, feed.high)) for place, feed in chosen)
        )

    def _connect(self, model: Model) -> Step | None:
        node = self._node(model)
        port = self.random.choice(list(node.feeds))
        names = list(model.nodes)
        older = set(names[: names.index(node.name)])
        circle = node.kind.delays and "shape=" in node.text
        wires = [
            wire
            for wire in self._outputs(model, model.dtype_of(node.name, port))
            if wire.source in older or (circle and wire.source != node.name)
        ]
        return Feeds((((node.name, port), self.random.choice(wires)),)) if wires else None

    def _disconnect(self, model: Model) -> Step | None:
        wired = [
            ((node.name, port), feed.fallback)
            for node in model.nodes.values()
            for port, feed in node.feeds.items()
            if isinstance(feed, Wire)
        ]
        return Feeds((self.random.choice(wired),)) if wired else None

    def _state(self, model: Model) -> Step | None:
        nodes = [node for node in model.nodes.values() if node.kind.state and node.memory is not None]
        if not nodes:
            return None
        node = self.random.choice(nodes)
        assert node.memory is not None
        return SetState(node.name, self._array(node.memory.shape, node.memory.dtype.name))

    def _editable(self, model: Model) -> list[Node]:
        return [node for node in model.nodes.values() if node.kind.sources]

    def _source(self, model: Model) -> Step | None:
        nodes = self._editable(model)
        return Source(self.random.choice(nodes).name, self.random.randrange(len(SWITCHED))) if nodes else None

    def _mistake(self, model: Model) -> Step | None:
        choice = self.random.randrange(3)
        if choice == 0:
            return Mistake(('lone = engine.add(blocks.ReLU(), name="lone")',), ("engine.remove(lone)",))
        if choice == 1:
            nodes = [node for node in self._editable(model) if _runs_few(model, node)]
            return broken_source(self.random.choice(nodes).name) if nodes else None
        bound = [place for place, feed in self._bound(model) if model.nodes[place[0]].kind.alike]
        if not bound:
            return None
        place = self.random.choice(bound)
        return Mistake((), (), place[0], (place, ArraySpec(0, (7, 1, 2, 1, 7), model.dtype)))

    def _profile(self, model: Model) -> Step | None:
        return Line(f'engine.profile = "{self.random.choice(("off", "frame", "block", "kernel", "deep"))}"')

    def _keep(self, model: Model) -> Step | None:
        node = self._node(model)
        ports = [port.name for port in node.block.outputs if is_wirable(node, port) and not node.kind.delays]
        return Line(f'engine.keep({node.name}.ports["{self.random.choice(ports)}"])', node.name) if ports else None

    def _readd(self, model: Model) -> Step | None:
        node = self._node(model)
        between = self._setting(node) if self.random.random() < 0.7 else None
        return Readd(node.name, (between,) if between else ())


def _rest(feed: ArraySpec) -> tuple[tuple[int, ...], str, float, float]:
    return feed.shape, feed.dtype, feed.low, feed.high


def _runs_few(model: Model, node: Node) -> bool:
    """Whether the kernel that can be edited is part of the plan."""
    feed = resolved(model, node.feeds["x"])
    return bool(widened(model.input(feed, model.evaluate())).size <= node.block.limit)


def _reasonable(values: Values) -> bool:
    """Whether tensors are small, and numbers far from the limits of every type."""
    return all(
        array.size <= ELEMENTS
        and (array.dtype.kind not in "f" or bool(np.all(np.isfinite(array)) and np.all(np.abs(array) < 1e3)))
        for array in values.values()
    )
