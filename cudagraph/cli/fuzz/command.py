"""`cudagraph fuzz`: programs of random edits, one after another, until the time is over or something is wrong."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from random import Random

from rich.console import Console
from rich.status import Status

from ..output import print_json, show
from .generate import Generator
from .minimise import failure, minimise
from .play import Found, Refused, Setup, World
from .script import script
from .steps import Frame, Step

STEPS = 40  # of one program
_DTYPES = {"float32": 75, "float64": 15, "float16": 10}


@dataclass
class Result:
    """What a run of the fuzzer did. `refused` counts programs that ended early: neither engine took the pipeline."""

    device: str
    seed: int
    seconds: float = 0.0
    programs: int = 0
    steps: int = 0
    frames: int = 0
    compared: int = 0
    refused: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    failure: str = ""
    script: str = ""


def run(seconds: float, seed: int, device: str, *, as_json: bool) -> int:
    """Run and print. Exit code 1 when something is wrong; the script that shows it goes to standard output."""
    with Console(stderr=True).status("fuzzing") as status:
        result = fuzz(seconds, seed, device, status if sys.stderr.isatty() else None)
    if as_json:
        print_json(asdict(result))
    elif result.script:
        show(result.script)
    else:
        show(summary(result))
    return 1 if result.failure else 0


def summary(result: Result) -> str:
    """One line for people."""
    return (
        f"clean: {result.programs} programs, {result.steps} edits, {result.frames} frames, {result.compared:,} tensors "
        f"compared in {result.seconds:.0f} s on {result.device}, seed {result.seed}"
    )


def fuzz(seconds: float, seed: int, device: str = "host", status: Status | None = None) -> Result:
    """Play random programs for some time, or until one fails, which is then made short."""
    result = Result(device, seed)
    started = time.monotonic()
    while time.monotonic() - started < seconds and not result.failure:
        program(result, status)
    result.seconds = round(time.monotonic() - started, 1)
    return result


def program(result: Result, status: Status | None = None) -> None:
    """One program. Its seed and its number alone decide what it does."""
    random = Random(f"{result.seed}:{result.programs}")
    dtype = random.choices(list(_DTYPES), list(_DTYPES.values()))[0]
    setup = Setup(result.device, dtype, poison=random.random() < 0.3, memory_planner=random.random() < 0.8)
    generator, world = Generator(random, dtype), World(setup)
    steps: list[Step] = []
    try:
        while len(steps) < STEPS:
            steps.append(generator.step(world.model) if len(steps) < STEPS - 1 else Frame())
            world.play(steps[-1])
        world.close()
    except Refused as refusal:
        result.refused += 1
        result.refusals[str(refusal)] = result.refusals.get(str(refusal), 0) + 1
        world.engine.close()
    except Found as found:
        world.engine.close()
        _report(result, setup, steps, found, world, status)
    result.programs += 1
    result.steps += len(steps)
    result.frames += world.frames
    result.compared += world.compared
    if status is not None:
        status.update(summary(result).removeprefix("clean: "))


def _report(
    result: Result, setup: Setup, steps: Sequence[Step], found: Found, world: World, status: Status | None
) -> None:
    def told(left: int) -> None:
        if status is not None:
            status.update(f"{found.what}: made shorter, {left} steps left")

    short = minimise(setup, steps, found.what, told=told)
    again = failure(setup, short)
    if again is not None:
        found, world = again
    result.failure = f"{found.what}: {found}"
    result.script = script(found, world)
