"""The edits: each can say whether it makes sense, how it is written in Python, and what it does to the model.

A step whose block is gone makes no sense and is left out, so that a failing sequence can lose any of its steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .catalogue import KINDS
from .model import ArraySpec, Feed, Model, Node, Wire

Place = tuple[str, str]


class Step(Protocol):
    """One edit."""

    def fits(self, model: Model) -> bool:
        """Whether it makes sense now."""
        ...

    def lines(self, model: Model) -> list[str]:
        """The edit in Python, before it is done to the model."""
        ...

    def change(self, model: Model) -> None:
        """Do it to the model."""
        ...


def resolved(model: Model, feed: Feed) -> Feed:
    """A feed, or its array when there is no such output (any more)."""
    if isinstance(feed, ArraySpec):
        return feed
    node = model.nodes.get(feed.source)
    return feed if node is not None and any(port.name == feed.port for port in node.block.outputs) else feed.fallback


def feed_line(name: str, port: str, feed: Feed) -> str:
    """Bind or connect one input."""
    target = f'{name}.ports["{port}"]'
    if isinstance(feed, ArraySpec):
        return f"engine.bind({target}, {feed})"
    return f'engine.connect({feed.source}.ports["{feed.port}"], {target})'


def added_lines(name: str, text: str, init: object) -> list[str]:
    """Make a block and put it into the engine."""
    lines = [f'{name} = engine.add({text.format(init=init)}, name="{name}")']
    # Initial weights are drawn when they are first looked at, so that has to happen in one order.
    return lines + ([f"{name}.state_dict()"] if "seed=" in text or "Pipeline" in text else [])


def setting_lines(node: Node) -> list[str]:
    """Everything assigned to a block since it was made."""
    lines = [f"{node.name}.{key} = {text}" for key, text in node.settings.items()]
    return lines + ([source_line(node, node.source)] if node.source else [])


def source_line(node: Node, variant: int) -> str:
    """Replace the source of the block's kernel."""
    return f"{node.name}.replace_source(switch_source({node.kind.sources[variant]!r}), 'few')"


def contents(array: np.ndarray) -> str:
    """An array written out, exactly."""
    return f"np.array({np.asarray(array).tolist()!r}, {array.dtype.name!r})"


@dataclass(frozen=True)
class Add:
    """A new block, fed."""

    name: str
    kind: str
    text: str
    feeds: tuple[tuple[str, Feed], ...]

    def fits(self, model: Model) -> bool:
        return self.name not in model.nodes

    def lines(self, model: Model) -> list[str]:
        return [
            *added_lines(self.name, self.text, 0),
            *(feed_line(self.name, port, resolved(model, feed)) for port, feed in self.feeds),
        ]

    def change(self, model: Model) -> None:
        feeds = {port: resolved(model, feed) for port, feed in self.feeds}
        model.nodes[self.name] = Node(self.name, KINDS[self.kind], self.text, feeds)


@dataclass(frozen=True)
class Feeds:
    """Other arrays or wires for some inputs."""

    feeds: tuple[tuple[Place, Feed], ...]

    def _known(self, model: Model) -> list[tuple[Place, Feed]]:
        return [(place, resolved(model, feed)) for place, feed in self.feeds if place[0] in model.nodes]

    def fits(self, model: Model) -> bool:
        return bool(self._known(model))

    def lines(self, model: Model) -> list[str]:
        lines: list[str] = []
        for (name, port), feed in self._known(model):
            old = model.nodes[name].feeds[port]
            if isinstance(old, Wire):
                lines.append(f'engine.disconnect({old.source}.ports["{old.port}"], {name}.ports["{port}"])')
            elif isinstance(feed, Wire):
                lines.append(f'engine.unbind({name}.ports["{port}"])')
            lines.append(feed_line(name, port, feed))
        return lines

    def change(self, model: Model) -> None:
        for (name, port), feed in self._known(model):
            model.nodes[name].feeds[port] = feed


@dataclass(frozen=True)
class Remove:
    """A block goes; what it fed gets arrays."""

    name: str

    def fits(self, model: Model) -> bool:
        return self.name in model.nodes and len(model.nodes) > 1

    def lines(self, model: Model) -> list[str]:
        fed = [(node.name, port, wire) for node, port, wire in model.consumers(self.name) if node.name != self.name]
        return [f"engine.remove({self.name})", *(feed_line(name, port, wire.fallback) for name, port, wire in fed)]

    def change(self, model: Model) -> None:
        for node, port, wire in list(model.consumers(self.name)):
            node.feeds[port] = wire.fallback
        del model.nodes[self.name]


@dataclass(frozen=True)
class Set:
    """A parameter, option or weight."""

    name: str
    key: str
    text: str

    def fits(self, model: Model) -> bool:
        return self.name in model.nodes

    def lines(self, model: Model) -> list[str]:
        return [f"{self.name}.{self.key} = {self.text}"]

    def change(self, model: Model) -> None:
        model.nodes[self.name].set(self.key, self.text)


@dataclass(frozen=True)
class SetState:
    """Other contents for a state. It has a size only after a frame."""

    name: str
    array: ArraySpec

    def fits(self, model: Model) -> bool:
        node = model.nodes.get(self.name)
        return node is not None and node.memory is not None and node.memory.shape == self.array.shape

    def lines(self, model: Model) -> list[str]:
        return [f'{self.name}.states["{model.nodes[self.name].kind.state}"].value = {self.array}']

    def change(self, model: Model) -> None:
        model.nodes[self.name].memory = self.array.make()


@dataclass(frozen=True)
class Source:
    """Another source for a kernel."""

    name: str
    variant: int

    def fits(self, model: Model) -> bool:
        return self.name in model.nodes

    def lines(self, model: Model) -> list[str]:
        return [source_line(model.nodes[self.name], self.variant)]

    def change(self, model: Model) -> None:
        model.nodes[self.name].source = self.variant


@dataclass(frozen=True)
class Line:
    """Something that changes no result, such as the level of profiling."""

    text: str
    name: str = ""

    def fits(self, model: Model) -> bool:
        return not self.name or self.name in model.nodes

    def lines(self, model: Model) -> list[str]:
        return [self.text]

    def change(self, model: Model) -> None:
        """Nothing changes."""


def wiring_lines(model: Model, names: set[str]) -> list[str]:
    """Every feed into or out of these blocks."""
    return [
        feed_line(node.name, port, feed)
        for node in model.nodes.values()
        for port, feed in node.feeds.items()
        if node.name in names or (isinstance(feed, Wire) and feed.source in names)
    ]


@dataclass(frozen=True)
class Readd:
    """A block is taken out, perhaps changed, and put in again before the next frame."""

    name: str
    between: tuple[Set, ...] = ()

    def fits(self, model: Model) -> bool:
        return self.name in model.nodes

    def lines(self, model: Model) -> list[str]:
        changes = [line for change in self.between for line in change.lines(model)]
        return [
            f"engine.remove({self.name})",
            *changes,
            f'engine.add({self.name}, name="{self.name}")',
            *wiring_lines(model, {self.name}),
        ]

    def change(self, model: Model) -> None:
        if model.nodes[self.name].kind.delays:
            model.nodes[self.name].memory = None
        for change in self.between:
            change.change(model)


@dataclass(frozen=True)
class Reopen:
    """The engine is closed, and another one takes the blocks."""

    def fits(self, model: Model) -> bool:
        return True

    def lines(self, model: Model) -> list[str]:
        added = [f'engine.add({name}, name="{name}")' for name in model.nodes]
        return ["engine.close()", "engine = open_engine()", *added, *wiring_lines(model, set(model.nodes))]

    def change(self, model: Model) -> None:
        model.frames = 0
        for node in model.nodes.values():
            if node.kind.delays:
                node.memory = None


@dataclass(frozen=True)
class Frame:
    """One frame; what it gives is compared."""

    def fits(self, model: Model) -> bool:
        return bool(model.nodes)

    def lines(self, model: Model) -> list[str]:
        return ["engine.update(sync=True)"]

    def change(self, model: Model) -> None:
        model.frames += 1


@dataclass(frozen=True)
class Mistake:
    """An edit that cannot work, a frame that must be as if it had not been made, and its end."""

    made: tuple[str, ...]
    undone: tuple[str, ...]
    name: str = ""
    feed: tuple[Place, ArraySpec] | None = None  # which array the end of the mistake binds again

    def fits(self, model: Model) -> bool:
        if model.frames == 0 or (self.name and self.name not in model.nodes):
            return False
        if self.feed is None:
            return True
        (name, port), _ = self.feed
        return name in model.nodes and isinstance(model.nodes[name].feeds[port], ArraySpec)

    def lines(self, model: Model) -> list[str]:
        if self.feed is None:
            return list(self.made)
        (name, port), wrong = self.feed
        return [feed_line(name, port, wrong)]

    def ending(self, model: Model) -> list[str]:
        """What takes it back."""
        if self.feed is None:
            return list(self.undone)
        (name, port), _ = self.feed
        return [feed_line(name, port, model.nodes[name].feeds[port])]

    def change(self, model: Model) -> None:
        model.frames += 1


def broken_source(name: str) -> Mistake:
    """A source that does not compile, on any device."""
    return Mistake((f"{name}.replace_source('#error broken\\n' + switch_source('x[i]'), 'few')",), (), name)
