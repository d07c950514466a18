"""The dirty tracker: what changed since the last frame, sorted by what it costs to bring the device up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .block import Block
    from .option import Option
    from .parameter import Parameter
    from .port import Port
    from .source import KernelSource
    from .tensor import Tensor


class DirtyTracker:
    """Collects changes between two frames. `parameters` are hot; all else sets `cold`, which takes longer to apply.

    Other threads mark changes while a frame begins. `cold` is set last, so that none of them is overlooked.
    """

    __slots__ = ("bindings", "cold", "contents", "options", "parameters", "sources", "structure")

    def __init__(self) -> None:
        self.clear()

    @property
    def dirty(self) -> bool:
        """Whether anything changed."""
        return self.cold or bool(self.parameters)

    def move_to(self, taken: DirtyTracker) -> None:
        """Move everything into an empty tracker. What other threads change from now on counts for the next frame."""
        self.cold = False
        taken.parameters, self.parameters = self.parameters, {}
        taken.contents, self.contents = self.contents, {}
        taken.bindings, self.bindings = self.bindings, {}
        taken.options, self.options = self.options, {}
        taken.sources, self.sources = self.sources, {}
        taken.structure, self.structure = self.structure, []

    def put_back(self, taken: DirtyTracker) -> None:
        """What was moved into that tracker could not be applied: it still has to be."""
        self.parameters = taken.parameters | self.parameters
        self.contents = taken.contents | self.contents
        self.bindings = taken.bindings | self.bindings
        self.options = taken.options | self.options
        self.sources = self.sources | taken.sources  # the source that ran before is the older one
        self.structure = taken.structure + self.structure
        self.cold = True

    def clear(self) -> None:
        """Everything is up to date."""
        self.cold = False
        self.parameters: dict[Parameter[Any], None] = {}
        self.contents: dict[Tensor, None] = {}
        self.bindings: dict[Port, None] = {}
        self.options: dict[Option, None] = {}
        self.sources: dict[tuple[Block, int], KernelSource] = {}  # with the source that ran before
        self.structure: list[str] = []

    def mark_parameter(self, parameter: Parameter[Any]) -> None:
        """A hot scalar has a new value."""
        self.parameters[parameter] = None

    def mark_contents(self, tensor: Tensor) -> None:
        """A weight or a state was given new contents of the same shape."""
        self.contents[tensor] = None
        self.cold = True

    def mark_binding(self, port: Port) -> None:
        """Another array of the same shape and dtype is bound."""
        self.bindings[port] = None
        self.cold = True

    def mark_option(self, option: Option) -> None:
        """An option changed: calls are captured anew with it, or kernels compiled anew if it is one of their macros."""
        self.options[option] = None
        self.cold = True

    def mark_source(self, block: Block, work: int, before: KernelSource) -> None:
        """The source of one of a block's kernels changed; `before` is what it falls back to if the new one fails."""
        self.sources.setdefault((block, work), before)
        self.cold = True

    def mark_structure(self, reason: str) -> None:
        """Blocks, wires or shapes changed: a new plan is needed. `reason` is what `engine.explain()` shows."""
        self.structure.append(reason)
        self.cold = True
