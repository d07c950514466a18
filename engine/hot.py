"""Hot scalars on their way to the device: by value into node arguments, or with one upload of the parameter block."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from cudagraph.parameter import Parameter

from .devices.base import Device, Executable
from .explain import Explanation, Tier
from .plan import ParameterSlot, Plan

_PARAMETERS = dict[Parameter[Any], None]


class HotValues:
    """Connects the parameters of a plan with its executable."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._executable: Executable | None = None
        self._by_value: dict[Parameter[Any], tuple[tuple[int, int], ...]] = {}
        self._in_block: set[Parameter[Any]] = set()
        self._mirror = np.zeros(0, np.uint8)
        self._address = 0

    def attach(self, plan: Plan, executable: Executable, block_address: int) -> None:
        """Follow the parameters of this plan from now on, and give the executable their current values."""
        self._executable = executable
        self._address = block_address
        self._mirror = np.frombuffer(bytearray(plan.parameter_image), np.uint8)
        self._by_value = {slot.parameter: slot.uses for slot in plan.parameters if slot.uses}
        self._in_block = set()
        for slot in plan.parameters:
            if slot.offset is not None:
                self._in_block.add(slot.parameter)
                _mirror(slot, self._mirror)
        for parameter, uses in self._by_value.items():
            self._patch(parameter, uses)
        self._upload()

    def apply(self, changed: _PARAMETERS) -> None:
        """Bring changed values to the device, to be seen by the next launch."""
        if not self._in_block.isdisjoint(changed):
            self._upload()
        by_value = self._by_value
        # Look through the shorter of the two: a frame may change one of thousands, or thousands, all in the block.
        for parameter in changed if len(changed) < len(by_value) else by_value:
            if parameter in changed and parameter in by_value:
                self._patch(parameter, by_value[parameter])

    def explain(self, frame: int, changed: _PARAMETERS) -> Explanation:
        """What `apply` did, in words."""
        explanation = Explanation(frame)
        in_block = [parameter for parameter in changed if parameter in self._in_block]
        by_value = [parameter for parameter in changed if parameter in self._by_value]
        if in_block:
            explanation.add(Tier.HOT, f"{_some(in_block)}: one upload of {self._mirror.nbytes} bytes")
        if by_value:
            nodes = len({node for parameter in by_value for node, _ in self._by_value[parameter]})
            explanation.add(Tier.HOT, f"{_some(by_value)}: {nodes} node{'s' * (nodes > 1)} patched")
        return explanation

    def _patch(self, parameter: Parameter[Any], uses: Iterable[tuple[int, int]]) -> None:
        assert self._executable is not None
        data = parameter.pack()
        for node, argument in uses:
            self._executable.set_scalar(node, argument, data)

    def _upload(self) -> None:
        if self._mirror.nbytes:
            self._device.upload(self._address, self._mirror)


def _mirror(slot: ParameterSlot, mirror: np.ndarray) -> None:
    """Let a parameter write its value straight into the packed block whenever it is set."""
    parameter = slot.parameter
    assert slot.offset is not None
    typed = mirror.view(slot.dtype)
    first = slot.offset // slot.dtype.itemsize
    parameter.slot = first if parameter.width == 1 else slice(first, first + parameter.width)
    # A memoryview stores a scalar in half the time NumPy takes, for the types it knows.
    known = parameter.width == 1 and slot.dtype.char in "bBhHiIlLqQfd?"
    parameter.mirror = memoryview(typed) if known else typed
    parameter.mirror[parameter.slot] = parameter.value


def _some(parameters: list[Parameter[Any]]) -> str:
    names = ", ".join(f"{parameter.path} = {parameter.value}" for parameter in parameters[:3])
    return names if len(parameters) <= 3 else f"{len(parameters)} parameters ({names}, ...)"
