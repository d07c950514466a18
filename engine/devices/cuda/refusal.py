"""Why the driver refused a whole-graph update. The bindings drop the answer with the error, so it is asked directly."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from .driver import library_name


class _ResultInfo(ctypes.Structure):
    """`CUgraphExecUpdateResultInfo` of cuda.h."""

    _fields_ = [("result", ctypes.c_int), ("node", ctypes.c_void_p), ("from_node", ctypes.c_void_p)]


_REASONS = {
    0: "it was accepted the second time",
    2: "the topology changed",
    3: "the type of a node changed",
    4: "a kernel changed in a way that is not supported",
    5: "parameters changed in a way that is not supported",
    6: "something in the graph cannot be updated",
    7: "a kernel changed in a way that is not supported",
    8: "attributes of a node changed in a way that is not supported",
}


def update_refusal(executable: Any, definition: Any, nodes: Sequence[Any]) -> str:
    """The driver's reason in words, with the index of the node where it names one of `nodes`."""
    update = ctypes.CDLL(library_name()).cuGraphExecUpdate_v2
    info = _ResultInfo()
    update(ctypes.c_void_p(int(executable)), ctypes.c_void_p(int(definition)), ctypes.byref(info))
    reason = _REASONS.get(info.result, f"unexpected error {info.result}")
    where = next((f", node {i}" for i, node in enumerate(nodes) if info.node and int(node) == info.node), "")
    return f"{reason}{where}"
