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
    """Collects changes between two frames. `parameters` are hot; all else sets `cold`, which takes longer to apply."""

    __slots__ = ("bindings", "cold", "contents", "options", "parameters", "sources", "structure")

    def __init__(self) -> None:
        self.clear()

    @property
    def dirty(self) -> bool:
        """Whether anything changed."""
        return self.cold or bool(self.parameters)

    def take_parameters(self) -> dict[Parameter[Any], None]:
        """The parameters that changed since the last call."""
        changed, self.parameters = self.parameters, {}
        return changed

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
        self.cold = True
        self.contents[tensor] = None

    def mark_binding(self, port: Port) -> None:
        """Another array of the same shape and dtype is bound."""
        self.cold = True
        self.bindings[port] = None

    def mark_option(self, option: Option) -> None:
        """An option changed: calls are captured anew with it, or kernels compiled anew if it is one of their macros."""
        self.cold = True
        self.options[option] = None

    def mark_source(self, block: Block, work: int, before: KernelSource) -> None:
        """The source of one of a block's kernels changed; `before` is what it falls back to if the new one fails."""
        self.cold = True
        self.sources.setdefault((block, work), before)

    def mark_structure(self, reason: str) -> None:
        """Blocks, wires or shapes changed: a new plan is needed. `reason` is what `engine.explain()` shows."""
        self.cold = True
        self.structure.append(reason)
