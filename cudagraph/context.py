"""The context: the blocks of one pipeline, the wires between them, and what has changed."""

from __future__ import annotations

from collections.abc import Iterator

from .block import Block
from .dirty import DirtyTracker
from .errors import DescriptionError
from .port import Port
from .wiring import check_order, check_wire, not_two_ports


class Context:
    """Blocks, wires and order, with a `DirtyTracker`. Pure description: editable at any time, running or not."""

    def __init__(self) -> None:
        self.tracker = DirtyTracker()
        self.blocks: dict[str, Block] = {}
        self.wires: dict[Port, Port] = {}  # destination -> source
        self.order: dict[tuple[Block, Block], None] = {}  # (earlier, later)
        self.kept: dict[Port, None] = {}
        self._numbers: dict[str, int] = {}  # last number given to a repeated name

    def add(self, block: Block, name: str | None = None) -> None:
        """Take a block under its own name, or `name`; a number is added to a name that is taken."""
        if not isinstance(block, Block):
            is_class = isinstance(block, type) and issubclass(block, Block)
            made = f"the class {block.__name__}: make one, {block.__name__}(...)" if is_class else repr(block)
            raise DescriptionError(f"an engine takes blocks, not {made}")
        if block.owner is not None or block.parent is not None:
            where = f"inside {block.parent.path}" if block.parent else "in an engine"
            raise DescriptionError(f"{block.path} is already {where}; build a new one")
        if self.blocks.get(block.name) is block:
            raise DescriptionError(f"{block.path} is already here; build a new one")
        _ = block.description
        if name is not None and (name in self.blocks or not name or "." in name or "/" in name):
            raise DescriptionError(
                f"{name!r} cannot name a block here: names are unique, not empty, without dots and slashes"
            )
        block.name = name or self._free_name(block.name)
        self.blocks[block.name] = block
        self.tracker.mark_structure(f"{block.name} added")

    def remove(self, block: Block) -> None:
        """Let a block go, with every wire and order that touches it."""
        self.check_mine(block)
        del self.blocks[block.name]
        self.wires = {
            destination: source
            for destination, source in self.wires.items()
            if destination.block.root is not block and source.block.root is not block
        }
        self.order = {pair: None for pair in self.order if block not in (pair[0].root, pair[1].root)}
        self.kept = {port: None for port in self.kept if port.block.root is not block}
        self.tracker.mark_structure(f"{block.name} removed")

    def connect(self, source: Port, destination: Port) -> None:
        """Draw a wire from an output to an input."""
        for port in (source, destination):
            if not isinstance(port, Port):
                raise DescriptionError(not_two_ports(source, destination))
            self.check_mine(port.block.root)
        check_wire(source, destination, self.wires)
        self.wires[destination] = source
        self.tracker.mark_structure(f"{source.path} -> {destination.path} connected")

    def disconnect(self, source: Port, destination: Port) -> None:
        """Take a wire away."""
        if self.wires.get(destination) is not source:
            fed = self.wires.get(destination)
            raise DescriptionError(
                f"there is no wire {source.path} -> {destination.path}; "
                + (
                    f"{destination.path} is fed by {fed.path}"
                    if fed
                    else f"{destination.path} is not fed by a wire of this engine"
                )
            )
        del self.wires[destination]
        self.tracker.mark_structure(f"{source.path} -> {destination.path} disconnected")

    def after(self, later: Block, *earlier: Block) -> None:
        """Run a block after others, where no data says so."""
        for block in (later, *earlier):
            self.check_mine(block.root)
        for block in earlier:
            check_order(block, later)
            self.order[block, later] = None
            self.tracker.mark_structure(f"{later.path} after {block.path}")

    def keep(self, *ports: Port) -> None:
        """Leave these ports' memory untouched to the end of the frame, so that they can be read."""
        for port in ports:
            self.check_mine(port.block.root)
            if port not in self.kept:
                self.kept[port] = None
                self.tracker.mark_structure(f"{port.path} kept")

    def walk(self) -> Iterator[Block]:
        """Every block at every depth, in order of addition, parents before children."""
        for block in self.blocks.values():
            for _, inner in block.walk():
                yield inner

    def check_mine(self, block: Block) -> None:
        """`DescriptionError` unless this top-level block is in this context."""
        if self.blocks.get(block.name) is not block:
            raise DescriptionError(f"{block.path} is not in this engine; engine.add(it) first")

    def _free_name(self, name: str) -> str:
        free = name
        while free in self.blocks:
            self._numbers[name] = self._numbers.get(name, 1) + 1
            free = f"{name}_{self._numbers[name]}"
        return free
