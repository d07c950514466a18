"""Work that is recorded by stream capture and embedded as a child graph: library calls and the user's own code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from cudagraph.errors import DeviceError

from ...plan import CaptureNode, LibraryNode
from .capture import CapturedStream, capture
from .driver import DriverError
from .libraries import CudaOperation, Operand
from .runtime import Runtime, Storage
from .work import accept


class CapturedWork(ABC):
    """A child graph, captured anew when an address or an option changed. Subclasses say what is recorded."""

    def __init__(
        self, runtime: Runtime, node: LibraryNode | CaptureNode, buffers: tuple[int, ...], storage: Storage
    ) -> None:
        self._runtime = runtime
        self._driver = runtime.driver
        self._name = node.name
        self._index = node.index
        self._storage = storage
        self._child: Any = None
        self._stale = True
        self.moves = tuple((buffer, 0) for buffer in buffers)

    @abstractmethod
    def record(self, stream: CapturedStream) -> None:
        """Queue the work on a captured stream."""

    def move(self, place: int, address: int) -> None:
        """An operand lies elsewhere: what was captured is no longer true."""
        self._stale = True

    def refresh(self) -> None:
        """Capture anew if anything changed. On an error, which names the node, the last capture stays."""
        if self._stale:
            try:
                self.prepare()
                child = capture(self._driver, self._runtime.side, self.record, self._name)
            except DeviceError as error:
                error.node = self._index if error.node is None else error.node
                raise
            self._replace(child)
            self._stale = False

    @abstractmethod
    def prepare(self) -> None:
        """Do what has to be done before the capture, outside of it."""

    def _replace(self, child: Any) -> None:
        old, self._child = self._child, child
        if old is not None:
            self._driver.raw.cuGraphDestroy(old)

    def add(self, graph: Any, after: list[Any]) -> Any:
        """A child graph node."""
        self.refresh()
        try:
            return self._driver.cuGraphAddChildGraphNode(graph, after, len(after), self._child)
        except DriverError as error:
            raise DeviceError(
                f"{self._name}: what it captured cannot become part of a graph ({error.code}); a captured function "
                "must not allocate stream-ordered memory: give it all its arrays"
            ) from error

    def apply(self, executable: Any, node: Any) -> None:
        """Bring the newest capture into the running graph; possible while its shape is the same."""
        self.refresh()
        status = self._driver.raw.cuGraphExecChildGraphNodeSetParams(executable, node, self._child)[0]
        accept(self._driver, status, f"{self._name}: cuGraphExecChildGraphNodeSetParams")

    def close(self) -> None:
        """Destroy the child graph; what was added to other graphs was a copy."""
        self._replace(None)


class LibraryWork(CapturedWork):
    """A library call. `operation` keeps descriptors and algorithms from capture to capture."""

    def __init__(self, runtime: Runtime, node: LibraryNode, storage: Storage, operation: CudaOperation) -> None:
        super().__init__(runtime, node, tuple(node.operands.values()), storage)
        self.operation = operation
        self._operands = dict(node.operands)
        self._options: Mapping[str, Any] = dict(node.options)

    def operands(self) -> dict[str, Operand]:
        """The operands where they lie now."""
        buffers, addresses = self._storage.buffers, self._storage.addresses
        return {name: Operand(addresses[i], buffers[i].shape, buffers[i].dtype) for name, i in self._operands.items()}

    def prepare(self) -> None:
        """Choose the algorithm."""
        self.operation.prepare(self.operands(), self._options)

    def record(self, stream: CapturedStream) -> None:
        """Queue the library call."""
        self.operation.capture(int(stream), self.operands(), self._options)

    def set_options(self, options: Mapping[str, Any]) -> None:
        """Capture with other options; on an error the old ones stay."""
        old, self._options, was_stale = self._options, {**self._options, **options}, self._stale
        self._stale = True
        try:
            self.refresh()
        except BaseException:
            self._options, self._stale = old, was_stale
            raise


class CaptureWork(CapturedWork):
    """The user's own function."""

    def __init__(self, runtime: Runtime, node: CaptureNode, storage: Storage) -> None:
        self._node = node
        super().__init__(runtime, node, (*node.inputs, *node.outputs), storage)

    def prepare(self) -> None:
        """Nothing: all of it is captured."""

    def record(self, stream: CapturedStream) -> None:
        """Call the function with arrays over the buffers."""
        buffers, addresses = self._storage.buffers, self._storage.addresses
        indices = (*self._node.inputs, *self._node.outputs)
        arrays = (self._runtime.view(addresses[i], buffers[i].shape, buffers[i].dtype, None) for i in indices)
        self._node.function(stream, *arrays)
