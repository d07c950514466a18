"""Makes a failing sequence of steps as short as it can be made by leaving steps out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from .play import Found, Refused, Setup, World
from .steps import Frame, Step


def failure(setup: Setup, steps: Sequence[Step]) -> tuple[Found, World] | None:
    """Play the steps; what is wrong, if anything is."""
    world = World(setup)
    try:
        for step in steps:
            world.play(step)
        world.play(Frame())
        world.close()
    except Found as found:
        world.engine.close()
        return found, world
    except Refused:
        world.engine.close()
    return None


def minimise(
    setup: Setup,
    steps: Sequence[Step],
    what: str,
    *,
    seconds: float = 60.0,
    told: Callable[[int], None] = lambda n: None,
) -> list[Step]:
    """The steps that still fail in the same way: halves are left out first, single steps last."""
    deadline = time.monotonic() + seconds
    best = list(steps)
    size = max(1, len(best) // 2)
    while time.monotonic() < deadline:
        shorter = _without_some(setup, best, what, size, deadline)
        if shorter is not None:
            best = shorter
            told(len(best))
        elif size == 1:
            break
        else:
            size = max(1, size // 2)
    return best


def _without_some(setup: Setup, steps: list[Step], what: str, size: int, deadline: float) -> list[Step] | None:
    for start in range(len(steps) - size, -1, -size):
        if time.monotonic() > deadline:
            return None
        candidate = steps[:start] + steps[start + size :]
        result = failure(setup, candidate)
        if result is not None and result[0].what == what:
            return candidate
    return None
