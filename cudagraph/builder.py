"""The block builder: the words in which a block's constructor describes ports, parameters, memory and work.

    with cg.BlockBuilder(self) as b:
        self.x = b.input("x", (...,))
        self.gain = b.parameter("gain", 1.0, "float32", low=0.0, high=4.0)
        self.y = b.output("y", self.x.shape)
        b.kernel("math/scale", elements=self.y.size, x=self.x, gain=self.gain, y=self.y, n=self.y.size)

Everything is checked as it is said. The description is committed, frozen, at the end of the `with`; an exception inside
leaves nothing half-described.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from .block import Block, source_folders
from .builder_checks import (
    check_init,
    check_library_names,
    checked_define,
    checked_layout,
    default_threads,
    is_written_alike,
    library_choice,
    port_dtype,
    triple,
)
from .child_names import named_children
from .dtypes import parse_dtype
from .elementwise import Operand as ElementwiseOperand
from .elementwise import broadcast_arguments, count_name, elementwise_source, names_in
from .errors import DescriptionError
from .iteration import Iteration, vector_threads
from .kernel_arguments import bind_arguments, ctype_of, is_scalar_operand
from .library import OPERATIONS
from .option import Option
from .parameter import Parameter
from .port import AppendPort, DelayPort, Direction, FaultPort, Port, ViewPort
from .shape import Broadcast, DimSpec, Size, SizeLike, check_shape, equal, show_shape
from .source import resolve_source
from .state_dict import Layout
from .tensor import Scratch, State, Tensor, Weight
from .wiring import check_order, check_wire
from .work import Capture, Copy, Description, Fill, Kernel, LibraryCall, Operand, Work

B = TypeVar("B", bound=Block)
V = TypeVar("V")
Item = TypeVar("Item", Port, Parameter[Any])
ShapeLike = Iterable[DimSpec] | Broadcast


class BlockBuilder:
    """Describes one block. Use it as a context manager in the block's constructor, after `super().__init__()`."""

    def __init__(self, block: Block) -> None:
        if "identity" not in block.__dict__:
            raise DescriptionError(
                f"{type(block).__name__}.__init__ must call super().__init__() before it describes anything"
            )
        if block._description is not None:
            raise DescriptionError(f"{block.path} is already described; a description never changes")
        self._block = block
        self._names: set[str] = set()
        self._ports: list[Port] = []
        self._parameters: list[Parameter[Any]] = []
        self._options: list[Option] = []
        self._tensors: list[Tensor] = []
        self._layouts: list[Layout] = []
        self._work: list[Work] = []
        self._conditions: dict[int, tuple[SizeLike, ...]] = {}  # of work, by position
        self._requirements: list[tuple[SizeLike, str]] = []
        self._where: tuple[SizeLike, ...] = ()  # the conditions that hold for what is described now
        self._children: dict[Block, str | None] = {}
        self._wires: dict[Port, Port] = {}  # destination -> source
        self._order: list[tuple[Block, Block]] = []
        self._exposed: dict[str, Port | Parameter[Any]] = {}
        self._open = True

    def __enter__(self) -> BlockBuilder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        if kind is not None:
            return
        self._check_outputs()
        for child, name in named_children(self._block, self._children).items():
            child.name = name
            child.parent = self._block
        self._block.commit(
            Description(
                ports=tuple(self._ports),
                parameters=tuple(self._parameters),
                options=tuple(self._options),
                tensors=tuple(self._tensors),
                work=tuple(self._work),
                conditions=dict(self._conditions),
                requirements=tuple(self._requirements),
                children=tuple(self._children),
                wires=tuple((source, destination) for destination, source in self._wires.items()),
                order=tuple(self._order),
                exposed=tuple(self._exposed.items()),
                layouts=tuple(self._layouts),
            )
        )

    # Values

    def input(self, name: str, shape: ShapeLike, dtype: object = "float32") -> Port:
        """A tensor that comes in. `dtype` may be a single capital letter such as "T": found from what is connected."""
        return self._add_port(Port(self._block, name, Direction.INPUT, self._shape(shape, name), port_dtype(dtype)))

    def output(self, name: str, shape: ShapeLike, dtype: object = "float32", *, inplace: Port | None = None) -> Port:
        """A tensor that this block's work writes. With `inplace`, it takes over that input's memory and contents."""
        if inplace is not None and (inplace.block is not self._block or inplace.direction is not Direction.INPUT):
            raise DescriptionError(f"output {name}: inplace must be an input of {self._block.path}, not {inplace}")
        return self._add_port(
            Port(self._block, name, Direction.OUTPUT, self._shape(shape, name), port_dtype(dtype), inplace)
        )

    def append_output(self, name: str, dtype: object, capacity: int) -> AppendPort:
        """A tensor that kernels append to, with a device counter (`.count`) that starts each frame at zero."""
        if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 1:
            raise DescriptionError(
                f"append output {name}: capacity is a number of elements, at least 1, not {capacity!r}"
            )
        port = AppendPort(self._block, self._name(name), port_dtype(dtype), capacity)
        self._name(port.count.name)
        self._ports += (port, port.count)
        return port

    def fault(self, name: str, message: str) -> FaultPort:
        """A device counter (`unsigned*` in kernels) of wrong input, zero when a frame starts.

        When a kernel adds to it, the block's `debug` state is an error with `message` and the count, until a frame
        ends without.
        """
        return self._add_port(FaultPort(self._block, name, message))

    def delay(self, source: Port, init: Any = 0, *, name: str | None = None) -> Port:
        """The value `source` had at the end of the last frame; `init` (scalar, array, initialiser) before the first.

        With a `name` it is one of the block's outputs.
        """
        self._check_source("delay", source, Port)
        label = name or f"{source.name}_before"
        return self._add_port(DelayPort(self._block, label, source, init, inner=name is None))

    def view(self, source: Operand, shape: ShapeLike, *, offset: SizeLike = 0, name: str | None = None) -> Port:
        """The memory of `source` under another shape, from element `offset` on. Costs no kernel and no copy.

        With a `name` it is one of the block's outputs.
        """
        self._check_source("view", source, Operand)
        label = name or self._free_name(f"{source.name}_view")
        port = ViewPort(self._block, label, source, self._shape(shape, label), offset, inner=name is None)
        return self._add_port(port)

    def parameter(
        self, name: str, default: V, dtype: object = "float32", *, low: float | None = None, high: float | None = None
    ) -> Parameter[V]:
        """A hot scalar: any scalar type, or a short vector such as "float3". Bounds are inclusive."""
        parameter = Parameter(self._block, self._name(name), default, dtype, low, high)
        self._parameters.append(parameter)
        return parameter

    def option(self, name: str, value: Any, choices: Iterable[Any]) -> Option:
        """A setting of library calls, or a macro of kernels, that can change live among a few choices."""
        option = Option(self._block, self._name(name), value, tuple(choices))
        self._options.append(option)
        return option

    def weight(
        self,
        name: str,
        shape: Iterable[int],
        dtype: object = "float32",
        init: Any = None,
        *,
        check: Callable[[np.ndarray], None] | None = None,
    ) -> Weight:
        """A constant tensor of known shape, replaceable live. `init`: array, scalar or `init(shape, dtype)`; zeros.

        `check` is called with every array that it is to become, and raises `DescriptionError` for one that is wrong.
        """
        lengths = check_shape(shape, f"weight {name}")
        if not all(isinstance(length, int) for length in lengths):
            raise DescriptionError(f"weight {name}: a weight's shape is made of ints, not {show_shape(lengths)}")
        check_init(f"weight {name}", lengths, init)
        return self._add_tensor(Weight(self._block, self._name(name), lengths, parse_dtype(dtype), init, check))  # type: ignore[arg-type]

    def stored_as(
        self, weight: Weight, parts: str | Mapping[str, int] | Layout, *, axis: int = 0, transpose: bool = False
    ) -> None:
        """Load and store a weight (an own one, or one inside of a child) under other names than its own.

        `parts` is one name, or names with the lengths of consecutive slices along `axis`, as dotted names relative to
        this block; with `transpose`, the arrays have their last two dimensions swapped. A `Layout` of one's own may
        compute the weight from the arrays in another way. Said several times, the first
        is how `state_dict` gives the weight out, and each is one way to load it; its own name stays another.
        """
        self._check_open()
        subject = f"{self._block.path}: stored_as"
        mine = isinstance(weight, Weight) and (weight.block is self._block or weight.block.root in self._children)
        if not mine:
            raise DescriptionError(f"{subject} takes a weight of this block or of its children, not {weight!r}")
        own = isinstance(parts, Layout)
        self._layouts.append(parts if own else checked_layout(subject, weight, parts, axis, transpose))

    def state(
        self, name: str, shape: ShapeLike, dtype: object = "float32", init: Any = 0, *, persistent: bool = True
    ) -> State:
        """A tensor that survives from frame to frame. `persistent` ones are part of `state_dict`."""
        lengths = self._shape(shape, name)
        check_init(f"state {name}", lengths, init)
        return self._add_tensor(State(self._block, self._name(name), lengths, parse_dtype(dtype), init, persistent))

    def scratch(self, shape: ShapeLike, dtype: object = "float32", *, name: str | None = None) -> Scratch:
        """Inner memory, undefined when a frame starts."""
        label = name or f"scratch{sum(isinstance(tensor, Scratch) for tensor in self._tensors)}"
        return self._add_tensor(Scratch(self._block, self._name(label), self._shape(shape, label), port_dtype(dtype)))

    # Work

    def kernel(
        self,
        kernel: object,
        /,
        *,
        threads: SizeLike | tuple[SizeLike, ...] | None = None,
        elements: SizeLike | None = None,
        grid: SizeLike | tuple[SizeLike, ...] | None = None,
        shared: SizeLike = 0,
        define: Mapping[str, SizeLike | Option] | None = None,
        **arguments: Any,
    ) -> None:
        """Launch a CUDA C++ kernel; its arguments are bound by their names in the source.

        `kernel`: a name in the kernels folder ("math/vector_add"), a path (.cu, .ptx, .cubin), a `CudaSource`, a
        `CompiledKernel`, or a CuPy, Triton or Numba kernel. Give `elements` for one thread per element, or `grid`.
        `threads` is CUDA's thread block (default 256, or what the source says), `shared` dynamic shared memory in
        bytes, `define` macros that specialise the source.
        """
        self._launch(kernel, arguments, threads, elements, grid, shared, define or {})

    def _launch(
        self,
        kernel: object,
        arguments: Mapping[str, Any],
        threads: SizeLike | tuple[SizeLike, ...] | None,
        elements: SizeLike | None,
        grid: SizeLike | tuple[SizeLike, ...] | None = None,
        shared: SizeLike = 0,
        define: Mapping[str, SizeLike | Option] | None = None,
        alike: tuple[Operand, ...] = (),
    ) -> None:
        source = resolve_source(kernel, folders=source_folders(type(self._block)))
        name = self._work_name(source.signature.entry)
        subject = f"{self._block.path}:{name} ({source.origin})"
        if (elements is None) == (grid is None):
            given = "neither was given" if grid is None else "both were given"
            raise DescriptionError(f"{subject}: give either elements= (one thread each) or grid=; {given}")
        self._add_work(
            Kernel(
                name=name,
                source=source,
                arguments=bind_arguments(subject, source.signature, arguments, self._check_operand),
                threads=triple(threads if threads is not None else default_threads(source), subject),
                elements=elements,
                grid=None if grid is None else triple(grid, subject),
                shared=source.shared if type(shared) is int and shared == 0 else shared,
                define=checked_define(subject, define or {}),
                alike=alike,
            )
        )

    def elementwise(self, expression: str, /, *, threads: int = 256, **arguments: Any) -> None:
        """A kernel written from an expression, for each element of its first output: "y = a * x + c".

        The right side is CUDA C++; several assignments are separated by `;`. Names are bound like kernel arguments;
        tensors of one element and parameters apply to every element. What is read broadcasts to the first output, as
        in NumPy; `ShapeError` when the plan is made and it does not.
        """
        assigned, _ = names_in(expression)
        inputs: dict[str, ElementwiseOperand] = {}
        outputs: dict[str, ElementwiseOperand] = {}
        values: dict[str, ElementwiseOperand] = {}
        for name, bound in arguments.items():
            if name in assigned:
                self._check_operand(f"{self._block.path}: {expression!r}: {name}", bound, True)
            group = outputs if name in assigned else inputs if isinstance(bound, Operand) else values
            group[name] = ElementwiseOperand(ctype_of(bound), scalar=is_scalar_operand(bound))
        source = elementwise_source(expression, inputs, outputs, values)
        result = arguments[next(iter(outputs))]
        alike = tuple(arguments[name] for name, operand in (outputs | inputs).items() if not operand.scalar)
        counted = arguments | {count_name(arguments): result.size}
        elements = vector_threads(result.size)
        if all(is_written_alike(operand, result) for operand in alike):
            self._launch(source, counted, threads, elements, alike=alike)
            return
        tensors = {name: arguments[name] for name, operand in inputs.items() if not operand.scalar}
        iteration = Iteration(f"{self._block.path}: {expression!r}", result, tensors)
        with self.where(iteration.is_plain):
            self._launch(source, counted, threads, elements, alike=alike)
        with self.where(equal(iteration.is_plain, 0)):
            source = elementwise_source(expression, inputs, outputs, values, broadcast=True)
            sizes, macros = broadcast_arguments(iteration, tensors, arguments)
            launch = iteration.launch()
            made = tuple(arguments[name] for name, operand in outputs.items() if not operand.scalar)
            self._launch(source, arguments | sizes, launch["threads"], None, launch["grid"], 0, macros, made)

    def library(self, operation: str, /, **arguments: Any) -> None:
        """Call a named library operation such as "cublas.gemm": operands, scalars and options by name.

        Scalars may be parameters (hot, never captured anew) or numbers; options may be `Option`s (captured anew).
        """
        known = OPERATIONS.get(operation)
        if known is None:
            raise DescriptionError(
                f"there is no library operation {operation!r}; choose one of {', '.join(OPERATIONS)}"
            )
        subject = f"{self._block.path}:{operation}"
        check_library_names(subject, known, arguments)
        for name in (*known.inputs, *known.outputs):
            if name in arguments:
                self._check_operand(f"{subject} {name}", arguments[name], name in known.outputs)
        self._add_work(
            LibraryCall(
                name=self._work_name(operation.rpartition(".")[2]),
                operation=operation,
                inputs={name: arguments[name] for name in known.inputs if name in arguments},
                outputs={name: arguments[name] for name in known.outputs},
                scalars={name: arguments.get(name, default) for name, default in known.scalars.items()},
                options={
                    name: library_choice(subject, name, arguments, choices) for name, choices in known.options.items()
                },
            )
        )

    def capture(
        self,
        function: Callable[..., None],
        *,
        inputs: Iterable[Operand] = (),
        outputs: Iterable[Operand] = (),
        host: Callable[..., None] | None = None,
    ) -> None:
        """Your own stream-ordered code: `function(stream, *arrays)` runs under stream capture, once per build.

        `host(*arrays)` does the same on the host device, with NumPy arrays, once per frame; it writes into the outputs.
        """
        name = self._work_name(getattr(function, "__name__", "capture"))
        reads, writes = tuple(inputs), tuple(outputs)
        for operand in reads:
            self._check_operand(f"{self._block.path}:{name} inputs", operand, False)
        for operand in writes:
            self._check_operand(f"{self._block.path}:{name} outputs", operand, True)
        self._add_work(Capture(name, function, host, reads, writes))

    def copy(self, source: Operand, target: Operand) -> None:
        """Copy one tensor into another of the same size."""
        self._check_operand(f"{self._block.path}:copy source", source, False)
        self._check_operand(f"{self._block.path}:copy target", target, True)
        self._add_work(Copy(self._work_name("copy"), source, target))

    def fill(self, target: Operand, value: int = 0) -> None:
        """Set every byte of a tensor to `value` (0 to 255)."""
        self._check_operand(f"{self._block.path}:fill target", target, True)
        if not isinstance(value, int) or not 0 <= value <= 255:
            raise DescriptionError(f"{self._block.path}:fill sets bytes: the value is 0 to 255, not {value!r}")
        self._add_work(Fill(self._work_name("fill"), target, value))

    @contextmanager
    def where(self, condition: SizeLike) -> Iterator[None]:
        """Work described inside is part of the plan only where a size is not 0: `with b.where(self.x.rows <= 8):`.

        The choice is made when the plan is, from the shapes at hand. Conditions nest. Ports, memory and children are
        described outside; `ShapeError` when the plan is made and no work is left to write an output.
        """
        self._check_open()
        if not isinstance(condition, (Size, int, str)):
            raise DescriptionError(f"{self._block.path}: where takes a size such as x.rows <= 8, not {condition!r}")
        before = self._where, len(self._children), len(self._ports), len(self._tensors)
        self._where = (*self._where, condition)
        try:
            yield
        finally:
            self._where = before[0]
        if before[1:] != (len(self._children), len(self._ports), len(self._tensors)):
            raise DescriptionError(
                f"{self._block.path}: ports, memory and children are the same for every shape; "
                "describe them before where(...)"
            )

    def require(self, condition: SizeLike, message: str) -> None:
        """A limit of the shapes: `ShapeError` with `message` when a plan is made for which the size is 0.

        `b.require(self.x.shape[-1] % 8 < 1, "the last dimension is a multiple of 8")`.
        """
        self._check_open()
        self._requirements.append((condition, message))

    # Composition

    def child(self, block: B, name: str | None = None) -> B:
        """Put a block inside this one. Its name is `name`, or the attribute it is stored under, as in torch."""
        self._check_open()
        if not isinstance(block, Block):
            raise DescriptionError(f"{self._block.path}: a child is a block, not {block!r}")
        if name is not None and (not name or "." in name):
            raise DescriptionError(
                f"{name!r} cannot name a child of {self._block.path}: names are not empty and have no dots"
            )
        if block.parent is not None or block.owner is not None or block in self._children:
            raise DescriptionError(
                f"{block.path} already belongs to {'an engine' if block.owner else 'a block'}; build a new one"
            )
        if block is self._block:
            raise DescriptionError(f"{block.path} cannot contain itself")
        _ = block.description  # a child must be complete
        self._children[block] = name
        return block

    def connect(self, source: Port, destination: Port) -> None:
        """Feed an output (or an own input) into an input of a child (or an own output)."""
        self._check_open()
        check_wire(source, destination, self._wires, inside=self._block)
        for port in (source, destination):
            self._check_mine(port)
        if destination.block is self._block:
            self._check_own_output(destination)
        self._wires[destination] = source

    def apply(self, block: Block, *inputs: Port) -> Any:
        """Add a child, connect its inputs in order, and return its output (a tuple when there are several)."""
        self.child(block)
        if len(inputs) != len(block.inputs):
            wanted = ", ".join(port.name for port in block.inputs)
            raise DescriptionError(f"{block.path} has {len(block.inputs)} inputs ({wanted}); {len(inputs)} were given")
        for source, destination in zip(inputs, block.inputs, strict=True):
            self.connect(source, destination)
        return block.outputs[0] if len(block.outputs) == 1 else block.outputs

    def expose(self, item: Item, name: str | None = None) -> Item:
        """Show a child's port or parameter as this block's own, under `name`. Returns it: `self.y = b.expose(...)`."""
        if item.block.root not in self._children:
            raise DescriptionError(
                f"{item.path} is not part of a child of {self._block.path}; "
                "only a child's ports and parameters can be exposed"
            )
        self._exposed[self._name(name or item.name)] = item
        return item

    def after(self, later: Block, *earlier: Block) -> None:
        """Run a child after others, where no data says so."""
        self._check_open()
        for block in (later, *earlier):
            if block not in self._children:
                raise DescriptionError(f"after: {block.path} is not a child of {self._block.path}")
        for block in earlier:
            check_order(block, later)
            self._order.append((block, later))

    # Checks

    def _check_open(self) -> None:
        if not self._open:
            raise DescriptionError(
                f"{self._block.path} is described; a description never changes after the `with` block"
            )

    def _check_outputs(self) -> None:
        """Every output has to come from somewhere: reading memory that nothing wrote is never meant."""
        made = {operand for work in self._work for operand in work.operands()[1]} | self._wires.keys()
        for port in self._ports:
            if port.direction is Direction.OUTPUT and port not in made and not self._made_by_itself(port):
                raise DescriptionError(
                    f"nothing makes {port.path}: bind it to an output of a kernel or library call, "
                    "or connect a child's output to it"
                )

    def _made_by_itself(self, port: Port) -> bool:
        """Delays, views, append outputs and their counters have contents without any work."""
        return type(port) is not Port or any(
            isinstance(other, AppendPort) and other.count is port for other in self._ports
        )

    def _check_own_output(self, port: Port) -> None:
        """Whether a wire may feed this port of the block itself."""
        if port.direction is Direction.INPUT:
            raise DescriptionError(f"{port.path} is this block's own input; it is fed from outside")
        written = any(port in work.operands()[1] for work in self._work)
        if written or port.inplace is not None or self._made_by_itself(port):
            raise DescriptionError(f"{port.path} is made by {self._block.path} itself, so no wire can feed it")

    def _check_source(self, subject: str, source: Any, kind: Any) -> None:
        if not isinstance(source, kind):
            raise DescriptionError(f"{self._block.path}: a {subject} is of a port, not of {source!r}")
        self._check_mine(source)

    def _name(self, name: str) -> str:
        self._check_open()
        if not name.isidentifier():
            raise DescriptionError(f"{self._block.path}: {name!r} is not a name; use letters, digits and underscores")
        if name in self._names:
            raise DescriptionError(
                f"{self._block.path} already has something called {name!r}; names are unique in a block"
            )
        self._names.add(name)
        return name

    def _free_name(self, name: str) -> str:
        """`name`, with a number behind it where it is taken: there may be several views of one tensor."""
        return next(
            label
            for label in (name, *(f"{name}{i}" for i in range(2, len(self._names) + 3)))
            if label not in self._names
        )

    def _add_work(self, work: Work) -> None:
        if self._where:
            self._conditions[len(self._work)] = self._where
        self._work.append(work)

    def _work_name(self, name: str) -> str:
        self._check_open()
        taken = {work.name for work in self._work}
        return next(label for label in (name, *(f"{name}_{i}" for i in range(2, len(taken) + 3))) if label not in taken)

    def _add_port(self, port: Port) -> Any:
        self._name(port.name)
        self._ports.append(port)
        return port

    def _add_tensor(self, tensor: Any) -> Any:
        self._tensors.append(tensor)
        return tensor

    def _shape(self, shape: ShapeLike, name: str) -> tuple[DimSpec, ...]:
        return check_shape(shape, f"{self._block.path}.{name}")

    def _check_mine(self, port: Operand) -> None:
        if port.block is not self._block and port.block.root not in self._children:
            raise DescriptionError(f"{port.path} belongs to neither {self._block.path} nor one of its children")

    def _check_operand(self, subject: str, operand: Any, written: bool) -> None:
        """A tensor that this block's own work may read (or write)."""
        if not isinstance(operand, Operand):
            raise DescriptionError(f"{subject}: a port, weight, state or scratch is wanted, not {operand!r}")
        if operand.block is not self._block and operand.block.root not in self._children:
            raise DescriptionError(
                f"{subject}: {operand.path} belongs to neither {self._block.path} nor one of its children"
            )
        if not written:
            return
        if isinstance(operand, Weight):
            raise DescriptionError(f"{subject}: {operand.path} is a weight, which kernels only read; use b.state(...)")
        if isinstance(operand, Port):
            self._check_written_port(subject, operand)

    def _check_written_port(self, subject: str, port: Port) -> None:
        if port.direction is Direction.INPUT:
            raise DescriptionError(
                f"{subject}: it writes, but {port.path} is an input. "
                f"Declare an output (with inplace={port.name} to reuse its memory)"
            )
        if port.block is not self._block:
            raise DescriptionError(
                f"{subject}: it writes, but {port.path} is an output of another block, which alone makes it"
            )
        if isinstance(port, (DelayPort, ViewPort)):
            raise DescriptionError(
                f"{subject}: {port.path} is a {type(port).__name__[:-4].lower()} of another port and cannot be written"
            )
        if port in self._wires:
            raise DescriptionError(f"{subject}: it writes, but {port.path} is already fed by {self._wires[port].path}")
