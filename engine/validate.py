"""Checks after a frame: blocks against their NumPy references, and the origin of the first NaN. Slow, for debugging."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.debug import BlockState
from cudagraph.dtypes import show
from cudagraph.port import AppendPort
from cudagraph.work import Operand

from .build import Running
from .plan import Buffer, Node, Place

_TOLERANCES = {"float64": 1e-9, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}


def check_references(running: Running) -> list[str]:
    """Compare every block that has a `reference` with it; marks those that differ and says how, one sentence each."""
    found: list[str] = []
    for block in running.context.walk():
        reference = getattr(block, "reference", None)
        if reference is None or not _checkable(block, running):
            continue
        for port, expected in zip(block.outputs, _expected(block, reference, running), strict=False):
            problem = _difference(_contents(running, port), np.asarray(expected))
            if problem:
                message = f"{port.path} differs from {type(block).__name__}.reference: {problem}"
                block.debug.set_state(BlockState.ERROR, message)
                found.append(message)
    return found


def check_nan(running: Running) -> str | None:
    """Find where NaN came from in the last frame; marks that block and says where. A frame without any unmarks it.

    It is the first node (in order of execution) that turned numbers into NaN. Where none did, it is what the frame
    began with: a bound array, a weight, or a state that has held NaN since an earlier frame.
    """
    if running.nan is not None:
        block, message = running.nan
        if block.debug.message == message:
            block.debug.set_state(BlockState.OK)
    given = _given_nan(running)
    found = _first_nan(running, {buffer.index for buffer in given}) or _blamed(given)
    buffers = running.plan.buffers
    states = [buffer for buffer in running.plan.roots() if buffer.place is Place.STATE]
    running.nan_states = frozenset(buffer.index for buffer in states if _has_nan(running, buffer))
    running.nan = None
    if found is None:
        return None
    node, made, message = found
    block = running.block_of(node.index) if node is not None else getattr(buffers[made[0]].owner, "block", None)
    if block is not None:
        block.debug.set_state(BlockState.ERROR, message)
        running.nan = block, message
    return message


_Found = tuple[Node | None, list[int], str]


def _given_nan(running: Running) -> list[Buffer]:
    """What held NaN before the frame began: what no node writes, and states that held it when the last one ended."""
    plan = running.plan
    written = {plan.buffers[index].base for node in plan.nodes for index in node.writes}
    return [
        buffer
        for buffer in plan.roots()
        if (buffer.index in running.nan_states or buffer.index not in written) and _has_nan(running, buffer)
    ]


def _first_nan(running: Running, bad: set[int]) -> _Found | None:
    """The first node that wrote NaN and was given none. `bad` are the roots of buffers that hold NaN."""
    buffers = running.plan.buffers
    for node in running.plan.nodes:
        made = [index for index in node.writes if _has_nan(running, buffers[index])]
        touched = (*node.reads, *node.writes)  # what it writes, it may have read: a state, or in place
        if made and bad.isdisjoint(buffers[index].base for index in touched):
            names = ", ".join(buffers[index].name for index in made)
            return node, made, f"{node.name} made the first NaN, in {names}"
        bad.update(buffers[index].base for index in made)
    return None


def _blamed(given: list[Buffer]) -> _Found | None:
    for buffer in given:
        if buffer.place is Place.INPUT:
            return None, [buffer.index], f"the array bound to {buffer.name} holds NaN"
        if buffer.place is Place.WEIGHT:
            return None, [buffer.index], f"{buffer.name} was given NaN"
        if buffer.place is Place.STATE:
            cure = f"assign {buffer.name}.value anew"
            return None, [buffer.index], f"{buffer.name} has held NaN since an earlier frame; {cure}"
    return None


def _checkable(block: Block, running: Running) -> bool:
    """Whether inputs and outputs still hold what the block saw: nothing in place, nothing appended in any order."""
    ports = (*block.inputs, *block.outputs)
    plain = not any(port.inplace is not None or isinstance(port, AppendPort) for port in ports)
    return plain and not block.states and all(port in running.plan.ports for port in ports)


def _expected(block: Block, reference: Any, running: Running) -> tuple[Any, ...]:
    known: dict[str, Any] = {name: parameter.value for name, parameter in block.parameters.items()}
    known |= {name: weight.value for name, weight in block.weights.items()}
    known |= {name: option.value for name, option in block.options.items()}
    inputs = [_contents(running, port) for port in block.inputs]
    wanted = inspect.signature(reference).parameters
    everything = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in wanted.values())
    named = known if everything else {name: known[name] for name in wanted if name in known}
    result = reference(*inputs, **named)
    return result if isinstance(result, tuple) else (result,)


def _contents(running: Running, operand: Operand) -> np.ndarray:
    return _read(running, running.plan.buffers[running.plan.ports[operand]])


def _read(running: Running, buffer: Buffer) -> np.ndarray:
    out = np.empty(buffer.shape, buffer.dtype)
    running.executable.wait()
    if out.nbytes:
        running.device.download(running.storage.addresses[buffer.index], out)
    return out


def _has_nan(running: Running, buffer: Buffer) -> bool:
    if buffer.dtype.names or show(buffer.dtype) not in _TOLERANCES:
        return False
    return bool(np.isnan(_read(running, buffer).astype(np.float64)).any())


def _difference(given: np.ndarray, expected: np.ndarray) -> str | None:
    if given.shape != expected.shape:
        return f"the shape is {list(given.shape)}, not {list(expected.shape)}"
    if given.dtype.names or show(given.dtype) not in _TOLERANCES:
        return None if np.array_equal(given, expected) else f"{int((given != expected).sum())} elements"
    values, wanted = given.astype(np.float64), expected.astype(np.float64)
    allowed = _TOLERANCES[show(given.dtype)] * np.maximum(1.0, np.abs(wanted))
    wrong = ~(np.abs(values - wanted) <= allowed) & ~(np.isnan(values) & np.isnan(wanted)) & (values != wanted)
    if not wrong.any():
        return None
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    count = f"{int(wrong.sum())} of {wrong.size} elements"
    return f"{count}, first at {list(at)}: {values[at]:.7g} instead of {wanted[at]:.7g}"
