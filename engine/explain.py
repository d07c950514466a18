"""Why a frame cost what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Tier(StrEnum):
    """What a change costs, cheapest first."""

    HOT = "hot"  # scalars
    CONTENTS = "contents"  # a copy into fixed storage
    REBIND = "rebind"  # pointers patched
    RECAPTURE = "recapture"  # one library call captured anew
    CODE = "code"  # a kernel compiled and swapped
    STRUCTURE = "structure"  # a new plan
    FAILED = "failed"  # a change that could not be applied


@dataclass
class Explanation:
    """What a frame did before its launch: the tiers it needed, each with the reason in words. Empty: a clean frame."""

    frame: int
    steps: list[tuple[Tier, str]] = field(default_factory=list)
    microseconds: float = 0.0  # time spent applying; 0 when it was not measured

    @property
    def tiers(self) -> frozenset[Tier]:
        """The tiers this frame needed."""
        return frozenset(tier for tier, _ in self.steps)

    def add(self, tier: Tier, reason: str) -> None:
        """One more thing that was done."""
        self.steps.append((tier, reason))

    def merge(self, other: Explanation) -> None:
        """Add the steps of another explanation of the same frame."""
        self.steps.extend(other.steps)

    def __str__(self) -> str:
        if not self.steps:
            return f"frame {self.frame}: clean, one launch"
        took = f" ({self.microseconds:,.0f} us)" if self.microseconds else ""
        return f"frame {self.frame}{took}\n" + "\n".join(f"  {tier}: {reason}" for tier, reason in self.steps)
