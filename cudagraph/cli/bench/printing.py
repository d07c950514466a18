"""Results for people: the ratios first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from ..output import table
from .harness import Peer, Result, Timing


def head(facts: dict[str, Any]) -> Iterator[Text]:
    """What it runs on, and whether others keep it busy."""
    yield Text(f"{facts['description']}, {facts['threads']} threads", style="bold")
    if facts["load"] and facts["load"] > facts["cores"] / 4:
        yield Text(f"this machine is busy (load {facts['load']}): times will be too long and vary", style="yellow")


def lines(result: Result) -> Iterator[Text | Table]:
    """A result for people: the ratios first."""
    if not result.good:
        label, text = ("wrong", result.wrong) if result.wrong else ("failed", result.failed)
        yield Text(f"  {result.case}: {label}: {text}", style="bold red")
        return
    parts = [f"{peer.ratio:.2f}x {name}" for name, peer in result.peers.items()]
    if result.share:
        parts.append(f"{100 * result.share:.0f}% of the roofline")
    yield Text(f"  {result.case}: {', '.join(parts) or 'measured'}" if result.ours else f"  {result.case}: skipped")
    if result.ours:
        yield table(("", "", "median", "quartiles", "ratio", "quartiles"), _rows(result))
    for name, reason in result.skipped.items():
        yield Text(f"    without {name}: {reason}", style="dim")


def _rows(result: Result) -> Iterator[tuple[str, ...]]:
    assert result.ours is not None
    rate = f"{result.rate:,.4g} {result.unit}/s" if result.rate else ""
    yield ("   ", "cudagraph", *_spread(result.ours), rate, "")
    for name, peer in result.peers.items():
        yield ("   ", name, *_spread(peer.timing), *_ratio(peer))
    for name, value in result.figures.items():
        yield ("   ", name, f"{value:,.4g}" if isinstance(value, float) else str(value), "", "", "")


def _ratio(peer: Peer) -> tuple[str, str]:
    return f"{peer.ratio:.2f}x", f"{peer.low:.2f} to {peer.high:.2f}"


def _spread(timing: Timing) -> tuple[str, str]:
    return seconds(timing.median), f"{seconds(timing.low)} to {seconds(timing.high)}"


def seconds(value: float) -> str:
    """A time with three digits and its unit."""
    units = (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9))
    unit, scale = next((each for each in units if value * each[1] >= 1), units[-1])
    return f"{value * scale:.3g} {unit}"
