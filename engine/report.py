"""The report: what every block is doing and what the whole costs, for a person to read."""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from cudagraph.block import Block
from cudagraph.context import Context

from .devices.base import Device
from .profile import Profile, ProfileLevel

if TYPE_CHECKING:
    from .build import Running


def report(
    context: Context,
    running: Running | None,
    device: Device,
    profile: Profile,
    frame: int,
    warning: str | None = None,
    width: int = 110,
) -> str:
    """A table of all blocks, a line each on the graph, memory and time, and a warning where there is one."""
    out = io.StringIO()
    console = Console(file=out, width=width, no_color=True, highlight=False)
    console.print(block_table(context, _node_times(running, profile)))
    for line in summary(running, device, profile, frame):
        console.print(line)
    if warning is not None:
        console.print(f"warning   {warning}", markup=False)
    return out.getvalue().rstrip()


def block_table(context: Context, nodes: Mapping[str, list[tuple[str, float]]] = MappingProxyType({})) -> Table:
    """Blocks at every depth with state, times and append counts, as a rich table.

    `nodes` adds a line for each kernel, copy and call of a block, by its path: name and mean time in ms.
    """
    table = Table(box=None, pad_edge=False)
    for name in ("block", "kind", "state"):
        table.add_column(name)
    for name in ("ms", "mean ms", "appended / capacity"):
        table.add_column(name, justify="right")
    table.add_column("message", overflow="fold")
    for block in context.walk():
        debug = block.debug
        indent = "  " * block.path.count("/")
        kind, state = type(block).__name__, debug.state.value
        times = _ms(debug.time_ms), _ms(debug.mean_time_ms)
        table.add_row(indent + block.name, kind, state, *times, _counts(block), debug.message)
        for name, mean in nodes.get(block.path, ()):
            table.add_row(f"{indent}  :{name}", "", "", "", _ms(mean))
    return table


def _node_times(running: Running | None, profile: Profile) -> dict[str, list[tuple[str, float]]]:
    """Mean times of all nodes by block, at the profile levels that ask for them."""
    means = profile.mean_node_ms() if profile.level in (ProfileLevel.KERNEL, ProfileLevel.DEEP) else None
    found: dict[str, list[tuple[str, float]]] = {}
    if running is not None and means is not None:
        for node in running.plan.nodes:
            name = node.name.removeprefix(f"{node.block}:")
            found.setdefault(node.block, []).append((name, float(means[node.index])))
    return found


def summary(running: Running | None, device: Device, profile: Profile, frame: int) -> list[str]:
    """What is not about one block."""
    lines = [f"device    {device.description}"]
    if running is None:
        return [*lines, "graph     nothing has run yet: call engine.update()"]
    plan, storage, layout = running.plan, running.storage, running.layout
    lines.append(f"graph     {len(plan.nodes)} nodes, {len(plan.programs)} kernels, frame {frame}")
    saved = layout.without_reuse_nbytes - layout.arena_nbytes
    lines.append(
        f"memory    arena {_size(layout.arena_nbytes)} (reuse saves {_size(saved)}), "
        f"outside {_size(storage.persistent_nbytes)}"
    )
    mean = profile.mean_frame_ms()
    measured = f"mean {mean:.3f} ms on the device" if mean is not None else "not measured: engine.profile = 'frame'"
    lines.append(f"frame     {measured} (profile {profile.level})")
    return lines


def _counts(block: Block) -> str:
    capacities = {port.name: getattr(port, "capacity", None) for port in block.description.ports}
    return ", ".join(f"{name} {count:,} / {capacities[name]:,}" for name, count in block.debug.append_counts.items())


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _size(nbytes: float) -> str:
    for unit in ("B", "KB", "MB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.2f} GB"
