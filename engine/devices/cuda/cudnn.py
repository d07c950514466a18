"""What operations of cuDNN share: the handle, plans by shape with their workspaces, a first run before a capture."""

from __future__ import annotations

import ctypes
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from cudagraph.errors import DeviceError

from .cudnn_graph import ALIGNMENT, Graph, Target, Tensor
from .cudnn_library import CudnnLibrary, find
from .cudnn_plan import Plan, choose
from .libraries import LibraryContext, Operands, Options


class Cudnn:
    """The library and its handle on one device."""

    def __init__(self, subject: str) -> None:
        try:
            self.library = find()
        except DeviceError as error:
            raise DeviceError(f"{subject}: {error}. Without library='cudnn' a block uses its own kernels") from error
        handle = ctypes.c_void_p()
        self.library.call("cudnnCreate", ctypes.byref(handle))
        self.handle: int = handle.value or 0

    def close(self) -> None:
        """Destroy the handle."""
        self.library.call("cudnnDestroy", self.handle)


@dataclass(frozen=True)
class Described:
    """A graph, its tensors by the operands that they stand for, and whether float32 keeps all its digits."""

    graph: Graph
    tensors: Mapping[str, Tensor]
    exact: bool


class _Key(NamedTuple):
    """What a plan is good for: a shape, and addresses that are multiples of so many bytes."""

    shape: Any
    alignment: tuple[tuple[str, int], ...]


class _Prepared:
    """A plan with its workspace, and which operand belongs to which of its tensors."""

    def __init__(self, context: LibraryContext, described: Described, plan: Plan) -> None:
        self._memory = context.memory
        self._plan = plan
        self._identities = {name: tensor.identity for name, tensor in described.tensors.items()}
        self._values = dict(described.graph.values)  # read at each run, so kept
        self._constants = {identity: value.ctypes.data for identity, value in self._values.items()}
        self._workspace = context.memory.allocate(plan.workspace_bytes) if plan.workspace_bytes else 0

    def run(self, handle: int, addresses: Mapping[str, int], subject: str) -> None:
        """Queue it on the handle's stream."""
        given = {identity: addresses[name] for name, identity in self._identities.items()}
        self._plan.run(handle, given | self._constants, self._workspace, subject)

    def close(self) -> None:
        """Destroy the plan and free its workspace."""
        self._plan.close()
        if self._workspace:
            self._memory.free(self._workspace)
            self._workspace = 0


class CudnnOperation(ABC):
    """An operation of cuDNN. Subclasses say what it is; its result is the operand `y`."""

    name: str
    oldest = 0  # the cuDNN that it needs, as `cudnnGetVersion` says it

    def __init__(self, context: LibraryContext) -> None:
        self._context = context
        if "cudnn" not in context.shared:
            context.shared["cudnn"] = Cudnn(self.name)
        self._cudnn = cast(Cudnn, context.shared["cudnn"])
        library = self._cudnn.library
        if library.version < self.oldest:
            wanted = f"{self.oldest // 10000}.{self.oldest // 100 % 100}"
            raise DeviceError(f"{self.name} needs cuDNN {wanted} or newer, this is {library.version_text}")
        self._plans: dict[_Key, _Prepared] = {}

    @abstractmethod
    def shape(self, operands: Operands, options: Options) -> Any:
        """What is asked for, checked; it can be compared and hashed."""

    @abstractmethod
    def addresses(self, operands: Operands, shape: Any) -> dict[str, int]:
        """Where each tensor of the graph lies."""

    @abstractmethod
    def describe(self, library: CudnnLibrary, shape: Any, alignment: Mapping[str, int]) -> Described:
        """The graph of it."""

    def prepare(self, operands: Operands, options: Options) -> None:
        """Choose an engine for a new shape and run it once, into memory of its own, so that its kernels are loaded."""
        shape = self.shape(operands, options)
        addresses = self.addresses(operands, shape)
        key = _key(shape, addresses)
        if key in self._plans:
            return
        result = operands["y"]
        memory, apart = self._context.memory, result.address % ALIGNMENT
        scratch = memory.allocate(result.dtype.itemsize * math.prod(result.shape) + apart)
        try:
            made = self._choose(key)
            try:
                moved = addresses["y"] - result.address + scratch + apart
                self._run(made, int(self._context.stream), addresses | {"y": moved})
                self._context.driver.cuStreamSynchronize(self._context.stream)
            except BaseException:
                made.close()
                raise
        finally:
            memory.free(scratch)
        self._plans[key] = made

    def _choose(self, key: _Key) -> _Prepared:
        library = self._cudnn.library
        described = self.describe(library, key.shape, dict(key.alignment))
        try:
            target = Target(self._cudnn.handle)
            plan = choose(library, described.graph, target, subject=f"{self.name} {key.shape}", exact=described.exact)
            try:
                return _Prepared(self._context, described, plan)
            except BaseException:
                plan.close()
                raise
        finally:
            described.graph.close()

    def capture(self, stream: int, operands: Operands, options: Options) -> None:
        """Queue the operation on a captured stream."""
        shape = self.shape(operands, options)
        addresses = self.addresses(operands, shape)
        self._run(self._plans[_key(shape, addresses)], stream, addresses)

    def _run(self, plan: _Prepared, stream: int, addresses: Mapping[str, int]) -> None:
        self._cudnn.library.call("cudnnSetStream", self._cudnn.handle, stream, subject=self.name)
        plan.run(self._cudnn.handle, addresses, self.name)

    def close(self) -> None:
        """Give back plans and workspaces."""
        for plan in self._plans.values():
            plan.close()
        self._plans.clear()


def _key(shape: Any, addresses: Mapping[str, int]) -> _Key:
    return _Key(shape, tuple((name, math.gcd(ALIGNMENT, address)) for name, address in sorted(addresses.items())))
