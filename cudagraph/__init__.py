"""Live-editable CUDA graphs: describe blocks in Python, run them as one CUDA graph, edit anything while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .block import Block as Block
from .builder import BlockBuilder as BlockBuilder
from .compiled import CompiledKernel as CompiledKernel
from .context import Context as Context
from .debug import BlockDebug as BlockDebug
from .debug import BlockState as BlockState
from .dirty import DirtyTracker as DirtyTracker
from .environment import Environment as Environment
from .errors import CompileError as CompileError
from .errors import CudaGraphError as CudaGraphError
from .errors import DescriptionError as DescriptionError
from .errors import DeviceError as DeviceError
from .errors import ShapeError as ShapeError
from .option import Option as Option
from .parameter import Parameter as Parameter
from .port import AppendPort as AppendPort
from .port import Port as Port
from .render import render as render
from .shape import Dim as Dim
from .shape import broadcast as broadcast
from .shape import ceil_div as ceil_div
from .shape import equal as equal
from .shape import maximum as maximum
from .shape import minimum as minimum
from .source import CudaSource as CudaSource
from .state_dict import LoadReport as LoadReport
from .tensor import Scratch as Scratch
from .tensor import State as State
from .tensor import Weight as Weight

if TYPE_CHECKING:
    from cudagraph.engine import CudaEngine as CudaEngine
    from cudagraph.engine import Explanation as Explanation
    from cudagraph.engine import ProfileLevel as ProfileLevel
    from cudagraph.engine import Tier as Tier

__version__ = "0.1.0"

_ENGINE = frozenset({"CudaEngine", "Explanation", "ProfileLevel", "Tier"})


def __getattr__(name: str) -> Any:
    # The engine is loaded on first use, so that describing blocks never imports what runs them.
    if name in _ENGINE:
        from importlib import import_module

        return getattr(import_module("cudagraph.engine"), name)
    raise AttributeError(f"module 'cudagraph' has no attribute {name!r}")
