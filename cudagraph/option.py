"""Options: settings of a library call that are chosen from a list and can change while the graph runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import DescriptionError

if TYPE_CHECKING:
    from .block import Block
    from .dirty import DirtyTracker


class Option:
    """One choice among a few. A change captures the library calls that use it anew; nothing else is rebuilt."""

    __slots__ = ("_tracker", "_value", "block", "choices", "name")

    def __init__(self, block: Block, name: str, value: Any, choices: tuple[Any, ...]) -> None:
        self.block = block
        self.name = name
        self.choices = choices
        self._tracker: DirtyTracker | None = None
        self._value = self._checked(value)

    @property
    def value(self) -> Any:
        """The current choice."""
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        value = self._checked(value)
        if value == self._value:
            return
        self._value = value
        if self._tracker is not None:
            self._tracker.mark_option(self)

    @property
    def path(self) -> str:
        """Full name, such as `mlp/0.epilogue`."""
        return f"{self.block.path}.{self.name}"

    def attach(self, tracker: DirtyTracker | None) -> None:
        """Report changes to this tracker from now on (None: to nobody)."""
        self._tracker = tracker

    def _checked(self, value: Any) -> Any:
        for choice in self.choices:
            if choice == value:
                return choice
        raise DescriptionError(f"{self.path} cannot be {value!r}; choose one of {', '.join(map(repr, self.choices))}")

    def __repr__(self) -> str:
        return f"{self.path} = {self._value!r}"
