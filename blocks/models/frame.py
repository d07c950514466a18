"""What a causal model does in a frame: what is bound to `ids`, or the next part of its own text."""

from __future__ import annotations

from dataclasses import dataclass

from cudagraph.shape import Scope, Size, SizeLike, evaluate_size


@dataclass
class Frame:
    """`batch` texts of which a frame takes `tokens` each; 0 of both where the frame takes what is bound to `ids`.

    Sizes made of it are evaluated when a plan is made: who changes it marks the structure as changed.
    """

    batch: int = 0
    tokens: int = 0
    sampling: bool = False  # whether what is sampled becomes part of the text


@dataclass(frozen=True, eq=False)
class Generating(Size):
    """1 where the frame takes its own text, else 0; with `sampling`, 1 only where it also continues it."""

    frame: Frame
    sampling: bool = False

    def evaluate(self, scope: Scope) -> int:
        """1 or 0."""
        return int(self.frame.batch > 0 and (self.frame.sampling or not self.sampling))

    def __str__(self) -> str:
        return "generating"


@dataclass(frozen=True, eq=False)
class Either(Size):
    """`generated` where the frame takes its own text (a size, or the name of a field of the frame), else `bound`."""

    frame: Frame
    generated: str | int
    bound: SizeLike

    def evaluate(self, scope: Scope) -> int:
        """The one that holds now."""
        if self.frame.batch == 0:
            return evaluate_size(self.bound, scope)
        return self.generated if isinstance(self.generated, int) else getattr(self.frame, self.generated)

    def __str__(self) -> str:
        return f"(generating ? {self.generated} : {self.bound})"
