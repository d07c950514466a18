"""The block: a passive description of GPU work. It never touches a device."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .debug import BlockDebug
from .dtypes import show
from .errors import DescriptionError
from .option import Option
from .parameter import Parameter
from .port import Direction, Port
from .shape import show_shape
from .source import CudaSource, KernelSource, resolve_source
from .state_dict import Layout, LoadReport, load_tensors
from .tensor import State, Tensor, Weight
from .work import Description, Kernel

if TYPE_CHECKING:
    import numpy as np

    from .dirty import DirtyTracker

_identities = itertools.count(1)
Item = TypeVar("Item", bound=Port | Parameter[Any] | Option | Tensor)
_DESCRIBED = (Port, Parameter, Option, Tensor)


class Block:
    """One step of a pipeline. Subclasses describe it in their constructor, with a `BlockBuilder`.

    class Double(cg.Block):
        def __init__(self) -> None:
            super().__init__()
            with cg.BlockBuilder(self) as b:
                self.x = b.input("x", (...,))
                self.y = b.output("y", self.x.shape)
                b.elementwise("y = 2.0f * x", x=self.x, y=self.y)
    """

    def __init__(self) -> None:
        self.identity = next(_identities)  # tells blocks of equal names apart, across plans
        self.name = snake_case(type(self).__name__)
        self.parent: Block | None = None
        self.owner: object = None  # the engine that runs it; set on top-level blocks only
        self.debug = BlockDebug()
        self._description: Description | None = None
        self._sources: dict[int, KernelSource] = {}
        self._tracker: DirtyTracker | None = None

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse what looks like an edit and would be none: `block.gain = 2.0` instead of `block.gain.value = 2.0`."""
        known = self.__dict__.get(name)
        if isinstance(known, _DESCRIBED) and known is not value and self._description is not None:
            raise DescriptionError(f"{known.path} cannot be replaced; {_edit(known, value)}")
        object.__setattr__(self, name, value)

    @property
    def description(self) -> Description:
        """What the constructor said; `DescriptionError` while it is still being said."""
        if self._description is None:
            raise DescriptionError(
                f"{type(self).__name__} has no description: its constructor needs `with cg.BlockBuilder(self) as b:`"
            )
        return self._description

    def commit(self, description: Description) -> None:
        """Called once by the builder."""
        if self._description is not None:
            raise DescriptionError(f"{self.path} is already described; a description never changes")
        self._description = description

    @property
    def path(self) -> str:
        """Names from the outermost block to this one, such as `decoder/3/attn`."""
        return self.name if self.parent is None else f"{self.parent.path}/{self.name}"

    @property
    def root(self) -> Block:
        """The outermost block that contains this one."""
        return self if self.parent is None else self.parent.root

    @property
    def children(self) -> Mapping[str, Block]:
        """Direct children by name."""
        return {child.name: child for child in self.description.children}

    def walk(self) -> Iterator[tuple[str, Block]]:
        """This block and everything inside it, with names relative to this block ("" for itself), depth first."""
        stack: list[tuple[str, Block]] = [("", self)]
        while stack:
            prefix, block = stack.pop()
            yield prefix, block
            join = f"{prefix}/" if prefix else ""
            stack.extend((join + child.name, child) for child in reversed(block.description.children))

    @property
    def ports(self) -> dict[str, Port]:
        """All ports by path: own and exposed ones by name, those of children as `child/port`."""
        return self._collect(Port, lambda description: description.ports)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """Own and exposed input ports, in order of declaration."""
        return tuple(port for port in self._surface() if port.direction is Direction.INPUT)

    @property
    def outputs(self) -> tuple[Port, ...]:
        """Own and exposed output ports, in order of declaration. Delays and views count when they were given a name."""
        outputs = (port for port in self._surface() if port.direction is Direction.OUTPUT)
        return tuple(port for port in outputs if not getattr(port, "inner", False))

    @property
    def parameters(self) -> dict[str, Parameter[Any]]:
        """All hot scalars by path."""
        return self._collect(Parameter, lambda description: description.parameters)

    @property
    def options(self) -> dict[str, Option]:
        """All options by path."""
        return self._collect(Option, lambda description: description.options)

    @property
    def weights(self) -> dict[str, Weight]:
        """All weights by path."""
        return self._collect(Weight, lambda description: description.tensors)

    @property
    def states(self) -> dict[str, State]:
        """All states by path."""
        return self._collect(State, lambda description: description.tensors)

    def _surface(self) -> list[Port]:
        exposed = [item for _, item in self.description.exposed if isinstance(item, Port)]
        return [*self.description.ports, *exposed]

    def _collect(self, kind: type[Item], own: Any) -> dict[str, Item]:
        found: dict[str, Item] = {}
        for prefix, block in self.walk():
            join = f"{prefix}/" if prefix else ""
            description = block.description
            mine: tuple[Any, ...] = own(description)
            found.update({join + item.name: item for item in mine if isinstance(item, kind)})
            found.update({join + name: item for name, item in description.exposed if isinstance(item, kind)})
        return found

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all weights and persistent states, by torch-style dotted names."""
        arrays: dict[str, np.ndarray] = {}
        for layouts in self._stored():
            arrays.update(layouts[0].split(layouts[0].tensor.value))
        return arrays

    def load_state_dict(self, mapping: Mapping[str, Any], strict: bool = True) -> LoadReport:
        """Take weights and states from arrays by dotted name; hot when the block is running.

        Every array is checked before the first one is taken. With `strict`, a missing, unexpected or mismatched tensor
        is a `DescriptionError` and nothing changes; without, what fits is loaded. Returns the report either way.
        A tensor with several layouts (`BlockBuilder.stored_as`) is taken from the first one that is there.
        """
        return load_tensors(self.path, self._stored(), mapping, strict)

    def _stored(self) -> list[list[Layout]]:
        """The layouts in which each tensor may be stored; what an outer block says comes first, own names last."""
        said: dict[Tensor, list[Layout]] = {}
        tensors: list[Layout] = []
        for prefix, block in self.walk():
            join = prefix.replace("/", ".") + "." if prefix else ""
            for layout in block.description.layouts:
                said.setdefault(layout.tensor, []).append(layout.under(join))
            tensors += (
                Layout(tensor, ((join + tensor.name, -1),))
                for tensor in block.description.tensors
                if isinstance(tensor, Weight) or (isinstance(tensor, State) and tensor.persistent)
            )
        return [[*said.get(layout.tensor, ()), layout] for layout in tensors]

    def source_of(self, work: int) -> KernelSource:
        """The source that the kernel at this position of the description runs now."""
        kernel = self.description.work[work]
        assert isinstance(kernel, Kernel)
        return self._sources.get(work, kernel.source)

    def replace_source(self, source: object, kernel: str | None = None) -> None:
        """Swap the source of one kernel while the graph runs; the next frame uses it if it compiles.

        `source` is whatever `b.kernel` takes, or a string of CUDA C++. `kernel` names which one, when there are
        several. Its arguments must be the same. When it does not compile, the old kernel keeps running and `debug`
        says why.
        """
        index = self._kernel_index(kernel)
        if isinstance(source, str) and "__global__" in source:
            source = CudaSource(source, name=f"{self.path}:{self.description.work[index].name}")
        resolved = resolve_source(source, folders=source_folders(type(self)))
        old = self.source_of(index).signature
        if [(a.name, a.kind, a.ctype) for a in resolved.signature.arguments] != [
            (a.name, a.kind, a.ctype) for a in old.arguments
        ]:
            raise DescriptionError(
                f"{self.path}: the new source of {old.entry} takes ({_spell(resolved)}), "
                f"the block binds ({_spell(self.source_of(index))}); keep the arguments, or build a new block"
            )
        self.set_source(index, resolved)

    def set_source(self, work: int, source: KernelSource) -> None:
        """Run this source from the next frame on. Called for edits, and by the engine when a watched file changed."""
        before = self.source_of(work)
        self._sources[work] = source
        if self._tracker is not None:
            self._tracker.mark_source(self, work, before)

    def restore_source(self, work: int, source: KernelSource) -> None:
        """Called by the engine: the new source did not compile, so this one is still what runs."""
        self._sources[work] = source

    def _kernel_index(self, name: str | None) -> int:
        kernels = {item.name: index for index, item in enumerate(self.description.work) if isinstance(item, Kernel)}
        if name is None and len(kernels) == 1:
            return next(iter(kernels.values()))
        if name not in kernels:
            given = "no kernel was named" if name is None else f"there is no kernel {name!r}"
            raise DescriptionError(f"{self.path}: {given}; choose one of {', '.join(kernels) or '(it has none)'}")
        return kernels[name]

    def attach(self, owner: Any, tracker: DirtyTracker | None, collect: Any) -> None:
        """Called by the engine when it takes this top-level block (with None: when it lets it go)."""
        self.owner = owner
        for _, block in self.walk():
            block._tracker = tracker
            block.debug.attach(collect)
            description = block.description
            for port in description.ports:
                port.live = owner
            for item in (*description.parameters, *description.options):
                item.attach(tracker)
            for tensor in description.tensors:
                _attach_tensor(tensor, tracker, owner)

    def __repr__(self) -> str:
        if self._description is None:
            return f"{type(self).__name__}(not described yet)"
        ports = ", ".join(f"{port.name}: {show(port.dtype)}{show_shape(tuple(port.shape))}" for port in self._surface())
        values = ", ".join(f"{name}={parameter.value}" for name, parameter in self.parameters.items())
        return f"{type(self).__name__}({ports}{'; ' if values else ''}{values})"


def _attach_tensor(tensor: Tensor, tracker: DirtyTracker | None, owner: Any) -> None:
    if isinstance(tensor, Weight):
        tensor.attach(tracker)
    elif isinstance(tensor, State):
        tensor.attach(tracker, owner)


def _edit(item: Port | Parameter[Any] | Option | Tensor, value: object) -> str:
    """What to type instead of an assignment to the attribute that holds this."""
    if hasattr(item, "value"):
        return f"set {item.path}.value"
    if isinstance(item, Port) and item.direction is Direction.INPUT:
        is_port = isinstance(value, Port)
        return f"engine.connect({value.path}, {item.path})" if is_port else f"engine.bind({item.path}, array)"
    return "a description never changes"


def _spell(source: KernelSource) -> str:
    return ", ".join(f"{argument.kind} {argument.ctype} {argument.name}" for argument in source.signature.arguments)


def snake_case(name: str) -> str:
    """`VectorAdd` -> `vector_add`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def source_folders(block: type[Block]) -> tuple[Path, ...]:
    """Where a block's kernel paths are looked up before the kernel library: beside its file, in the working directory.

    The library's own blocks mean the library's kernels, whatever else may be lying around.
    """
    return () if block.__module__.startswith("cudagraph.") else (*_own_folder(block), Path.cwd())


@lru_cache(maxsize=1024)
def _own_folder(block: type[Block]) -> tuple[Path, ...]:
    try:
        file = inspect.getsourcefile(block)
    except (TypeError, OSError):  # a class typed into an interpreter
        file = None
    return (Path(file).resolve().parent,) if file else ()
