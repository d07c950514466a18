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
from .plan import Buffer

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
    """Find the first node (in order of execution) that turned numbers into NaN; marks its block and says where."""
    bad: set[int] = set()
    for node in running.plan.nodes:
        made = [index for index in node.writes if _has_nan(running, running.plan.buffers[index])]
        if made and not bad.intersection(node.reads):
            block = running.block_of(node.index)
            names = ", ".join(running.plan.buffers[index].name for index in made)
            message = f"{node.name} made the first NaN, in {names}"
            if block is not None:
                block.debug.set_state(BlockState.ERROR, message)
            return message
        bad.update(made)
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
