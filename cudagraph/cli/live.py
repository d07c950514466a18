"""The demo on a terminal: a live table, and keys that change values while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.text import Text

from cudagraph.engine.report import block_table
from cudagraph.parameter import Parameter

from .keyboard import pressed, single_keys

if TYPE_CHECKING:
    from .demo import Demo

_REFRESH = 0.1  # seconds between two pictures of the table
_HELP = "g/G gravity   d/D drag   e/E emission   space pause   r reset   q quit   (capital letters: more)"


@dataclass
class LiveState:
    """What the keys change besides values."""

    running: bool = True
    paused: bool = False


def run_live(demo: Demo, frames: int | None) -> None:
    """Run until `frames`, or until q is pressed. The terminal is as it was afterwards."""
    state = LiveState()
    keys = key_actions(demo, state)
    demo.engine.profile = "block"
    demo.engine.update(sync=True)  # compiles, before the table takes the terminal
    with single_keys(), Live(_view(demo, state), auto_refresh=False, transient=True) as live:
        shown, counted = time.perf_counter(), demo.frames
        while state.running and (frames is None or demo.frames < frames):
            for key in pressed():
                keys.get(key, _nothing)()
            if state.paused:
                time.sleep(_REFRESH / 2)
            else:
                demo.engine.update()
            now = time.perf_counter()
            if now - shown > _REFRESH:
                demo.fps = (demo.frames - counted) / (now - shown)
                shown, counted = now, demo.frames
                live.update(_view(demo, state), refresh=True)


def key_actions(demo: Demo, state: LiveState) -> dict[str, Callable[[], None]]:
    """What each key does."""
    system = demo.system
    first = {parameter: parameter.value for parameter in (system.gravity, system.drag, system.rate)}

    def change(parameter: Parameter[float], factor: float) -> Callable[[], None]:
        def apply() -> None:
            parameter.value *= factor

        return apply

    def reset() -> None:
        for parameter, value in first.items():
            parameter.value = value

    def pause() -> None:
        state.paused = not state.paused

    def stop() -> None:
        state.running = False

    return {
        "g": change(system.gravity, 1 / 1.25),
        "G": change(system.gravity, 1.25),
        "d": change(system.drag, 1 / 1.5),
        "D": change(system.drag, 1.5),
        "e": change(system.rate, 1 / 1.25),
        "E": change(system.rate, 1.25),
        " ": pause,
        "r": reset,
        "q": stop,
    }


def _nothing() -> None:
    """What other keys do."""


def _view(demo: Demo, state: LiveState) -> Group:
    engine, system = demo.engine, demo.system
    status = "paused" if state.paused else f"{demo.fps:,.0f} frames per second"
    return Group(
        Text(f"{engine.device.description}   frame {demo.frames:,}   {status}", style="bold"),
        Text(f"rebuilds {engine.rebuilds}   hot updates {demo.hot_updates}"),
        Text(
            f"gravity {system.gravity.value:.2f} m/s2   drag {system.drag.value:.3f} 1/s   "
            f"emission {system.rate.value:,.0f} 1/s",
            style="cyan",
        ),
        Text(),
        block_table(engine.context),
        Text(),
        Text(_HELP, style="dim"),
    )
