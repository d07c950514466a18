"""The emulated cuDNN: what it refuses, how it runs, and that a captured plan is replayed."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from cudagraph.engine.devices.cuda.cudnn_library import CudnnError, CudnnLibrary, Descriptor, find
from cudagraph.engine.devices.cuda.cudnn_names import ATTRIBUTES, Type

CONVOLUTION = "OPERATION_CONVOLUTION_FORWARD"


class Maker:
    """Makes descriptors with usual attributes, some of them replaced or, with None, left out; destroys them all."""

    def __init__(self, library: CudnnLibrary) -> None:
        self.library = library
        self.made: list[Descriptor] = []

    def new(self, kind: str, usual: dict[str, Any] | None = None, changes: dict[str, Any] | None = None) -> Descriptor:
        """A descriptor that is not finalized yet."""
        made = Descriptor(self.library, kind)
        self.made.append(made)
        for name, values in ((usual or {}) | (changes or {})).items():
            if values is not None:
                made.set(name, *(values if isinstance(values, (list, tuple)) else [values]))
        return made

    def tensor(self, shape: Any, identity: int, **changes: Any) -> Descriptor:
        """A contiguous float32 tensor."""
        strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        usual = {"DIMENSIONS": shape, "STRIDES": strides, "UNIQUE_ID": identity, "DATA_TYPE": 0, "BYTE_ALIGNMENT": 4}
        named = [{f"TENSOR_{name}": value for name, value in part.items()} for part in (usual, changes)]
        return self.new("TENSOR", *named).finalize()

    def window(self, **changes: Any) -> Descriptor:
        """A 3x3 window with padding."""
        each = dict.fromkeys(("PRE_PADDINGS", "POST_PADDINGS", "FILTER_STRIDES", "DILATIONS"), (1, 1))
        usual = {"COMP_TYPE": 0, "CONV_MODE": 1, "SPATIAL_DIMS": 2} | each
        named = [{f"CONVOLUTION_{name}": value for name, value in part.items()} for part in (usual, changes)]
        return self.new("CONVOLUTION", *named).finalize()

    def convolution(
        self, x: Any = (1, 2, 4, 4), w: Any = (3, 2, 3, 3), y: Any = (1, 3, 4, 4), **changes: Any
    ) -> Descriptor:
        """y = w * x of the tensors 1, 2 and 3."""
        tensors = {name: self.tensor(shape, i) for i, (name, shape) in enumerate((("X", x), ("W", w), ("Y", y)), 1)}
        usual = {"CONV_DESC": self.window(), "ALPHA": 1.0, "BETA": 0.0} | tensors
        named = [{f"{CONVOLUTION}_{name}": value for name, value in part.items()} for part in (usual, changes)]
        return self.new(CONVOLUTION, *named).finalize()

    def graph(self, handle: int, *operations: Descriptor) -> Descriptor:
        """A graph of operations."""
        return self.new(
            "OPERATIONGRAPH", {"OPERATIONGRAPH_OPS": operations, "OPERATIONGRAPH_HANDLE": handle}
        ).finalize()

    def configurations(self, graph: Descriptor, mode: int = 3) -> list[Descriptor]:
        """What the heuristics answer."""
        asked = self.new("ENGINEHEUR", {"ENGINEHEUR_OPERATION_GRAPH": graph, "ENGINEHEUR_MODE": mode}).finalize()
        found = [self.new("ENGINECFG") for _ in range(asked.count("ENGINEHEUR_RESULTS"))]
        assert asked.fill("ENGINEHEUR_RESULTS", found) == len(found)
        return found

    def plan(self, handle: int, config: Descriptor) -> Descriptor:
        """A plan."""
        usual = {"EXECUTION_PLAN_ENGINE_CONFIG": config, "EXECUTION_PLAN_HANDLE": handle}
        return self.new("EXECUTION_PLAN", usual).finalize()

    def pack(self, addresses: dict[int, int], workspace: int = 0) -> Descriptor:
        """Addresses of tensors."""
        made = self.new("VARIANT_PACK", {"VARIANT_PACK_UNIQUE_IDS": list(addresses)})
        made.set("VARIANT_PACK_DATA_POINTERS", *addresses.values())
        return made.set("VARIANT_PACK_WORKSPACE", workspace).finalize()


@pytest.fixture
def make(cu: Any) -> Iterator[Maker]:
    """A maker of descriptors."""
    made = Maker(find())
    yield made
    for descriptor in made.made:
        descriptor.close()


@pytest.fixture
def handle(make: Maker) -> Iterator[int]:
    """A handle."""
    made = ctypes.c_void_p()
    make.library.call("cudnnCreate", ctypes.byref(made))
    assert made.value
    yield made.value
    make.library.call("cudnnDestroy", made)


@pytest.fixture
def refused() -> Callable[[str, Callable[[], Any]], None]:
    """Checks that a call is refused with a status."""

    def refused(status: str, action: Callable[[], Any]) -> None:
        with pytest.raises(CudnnError, match=f"CUDNN_STATUS_{status}"):
            action()

    return refused


def test_attributes_have_types_and_counts(make: Maker, refused: Any) -> None:
    tensor = make.new("TENSOR")
    refused("BAD_PARAM_ATTRIBUTE_TYPE", lambda: tensor.set("TENSOR_UNIQUE_ID", 1, kind=Type.DATA_TYPE))
    refused("BAD_PARAM ", lambda: tensor.set("TENSOR_UNIQUE_ID", 1, 2))
    refused("BAD_PARAM ", lambda: tensor.set("POINTWISE_MODE", 1))
    refused("NOT_INITIALIZED", lambda: tensor.get("TENSOR_UNIQUE_ID", 1))
    done = make.tensor((2, 3), 5)
    assert done.get("TENSOR_DIMENSIONS", 8) == [2, 3] and done.count("TENSOR_STRIDES") == 2
    refused("BAD_PARAM ", lambda: done.set("TENSOR_UNIQUE_ID", 1))
    refused("BAD_PARAM ", done.finalize)
    number = ATTRIBUTES["TENSOR_UNIQUE_ID"][0]
    null = ("cudnnBackendSetAttribute", done.pointer, number, Type.INT64, 1, None)
    refused("BAD_PARAM_NULL_POINTER", lambda: make.library.call(*null))
    refused(
        "INTERNAL_ERROR_HOST",
        lambda: make.library.call("cudnnBackendCreateDescriptor", 999, ctypes.byref(ctypes.c_void_p())),
    )
    pointer = done.pointer
    done.close()
    refused("BAD_PARAM ", lambda: make.library.call("cudnnBackendFinalize", pointer))


@pytest.mark.parametrize(
    "changes",
    [
        {"DIMENSIONS": None},
        {"STRIDES": (4, 1, 1)},
        {"STRIDES": (-4, 1)},
        {"DIMENSIONS": (0, 3)},
        {"BYTE_ALIGNMENT": 2},
        {"BYTE_ALIGNMENT": None},
        {"UNIQUE_ID": None},
        {"DIMENSIONS": (1,) * 9, "STRIDES": (1,) * 9},
    ],
)
def test_tensors_that_are_none(make: Maker, refused: Any, changes: Any) -> None:
    refused("BAD_PARAM ", lambda: make.tensor((2, 3), 1, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        *({name: None} for name in ("SPATIAL_DIMS", "FILTER_STRIDES", "DILATIONS", "PRE_PADDINGS")),
        {"PRE_PADDINGS": (1, 1, 1)},
        {"PRE_PADDINGS": (-1, 0)},
        {"FILTER_STRIDES": (0, 1)},
        {"CONV_MODE": 0},
    ],
)
def test_windows_that_are_none(make: Maker, refused: Any, changes: Any) -> None:
    refused("BAD_PARAM ", lambda: make.window(**changes))


def test_operations_whose_shapes_do_not_fit(make: Maker, refused: Any) -> None:
    refused("BAD_PARAM ", lambda: make.convolution(y=(1, 3, 3, 4)))
    refused("BAD_PARAM ", lambda: make.convolution(w=(3, 4, 3, 3)))
    refused("BAD_PARAM ", lambda: make.convolution(x=(1, 2, 4, 4, 4)))
    refused("BAD_PARAM ", lambda: make.convolution(ALPHA=None))
    refused("BAD_PARAM_NOT_FINALIZED", lambda: make.convolution(CONV_DESC=make.new("CONVOLUTION")))
    refused("BAD_PARAM ", lambda: make.convolution(CONV_DESC=make.tensor((1,), 9)))


def test_graphs_write_each_tensor_once_and_every_virtual_one(make: Maker, handle: int, refused: Any) -> None:
    once = make.convolution()
    refused("BAD_PARAM ", lambda: make.graph(handle, once, once))
    refused("BAD_PARAM ", lambda: make.new("OPERATIONGRAPH", {"OPERATIONGRAPH_HANDLE": handle}).finalize())
    lost = make.convolution(X=make.tensor((1, 2, 4, 4), 1, IS_VIRTUAL=True))
    refused("BAD_PARAM ", lambda: make.graph(handle, lost))
    same = make.convolution(W=make.tensor((3, 2, 3, 3), 1))
    refused("BAD_PARAM ", lambda: make.graph(handle, same))


def test_an_activation_without_a_bias_has_no_engine(make: Maker, handle: int, refused: Any) -> None:
    """As with the real library, whose fused engines all add a bias."""
    between = make.tensor((1, 3, 4, 4), 3, IS_VIRTUAL=True)
    relu = make.new("POINTWISE", {"POINTWISE_MODE": 100, "POINTWISE_MATH_PREC": 0}).finalize()
    ends = {"XDESC": between, "YDESC": make.tensor((1, 3, 4, 4), 4), "PW_DESCRIPTOR": relu}
    activate = make.new("OPERATION_POINTWISE", {f"OPERATION_POINTWISE_{k}": v for k, v in ends.items()}).finalize()
    graph = make.graph(handle, make.convolution(Y=between), activate)
    refused("NOT_SUPPORTED_GRAPH_PATTERN", lambda: make.configurations(graph))


def test_engines_say_what_they_do_to_numbers_and_what_memory_they_want(make: Maker, handle: int) -> None:
    notes, sizes = [], []
    for config in make.configurations(make.graph(handle, make.convolution())):
        engine = make.new("ENGINE")
        config.fill("ENGINECFG_ENGINE", [engine])
        notes.append(engine.get("ENGINE_NUMERICAL_NOTE", 8))
        sizes.append(make.plan(handle, config).get("EXECUTION_PLAN_WORKSPACE_SIZE", 1)[0])
    assert notes == [[4], [0], []] and sizes == [0, 64 << 10, 4 << 10]


def test_groups_are_for_the_fallback(make: Maker, handle: int, refused: Any) -> None:
    graph = make.graph(handle, make.convolution(x=(1, 6, 4, 4)))
    refused("NOT_SUPPORTED ", lambda: make.configurations(graph))
    assert len(make.configurations(graph, mode=2)) == 1


class Ready:
    """A plan of a convolution with its memory: x of ones, w of ones."""

    def __init__(self, make: Maker, handle: int, bench: Any) -> None:
        self.make, self.handle, self.bench = make, handle, bench
        self.plan = make.plan(handle, make.configurations(make.graph(handle, make.convolution()))[2])
        self.addresses = {1: bench.device(np.ones(32)), 2: bench.device(np.ones(54)), 3: bench.device(np.zeros(48))}
        self.workspace = bench.device(np.zeros(4 << 10), np.uint8)
        make.library.call("cudnnSetStream", handle, int(bench.stream))

    def execute(self, workspace: int | None = None, **changes: int) -> None:
        """Queue it, with addresses of other tensors by their letters."""
        addresses = self.addresses | {"xwy".index(name) + 1: address for name, address in changes.items()}
        pack = self.make.pack(addresses, self.workspace if workspace is None else workspace)
        self.make.library.call("cudnnBackendExecute", self.handle, self.plan.pointer, pack.pointer)

    def result(self) -> np.ndarray:
        """What lies in y."""
        self.bench.finish()
        return self.bench.read(self.addresses[3], 48).reshape(3, 4, 4)


@pytest.fixture
def ready(make: Maker, handle: int, bench: Any) -> Ready:
    """A plan that can be executed."""
    return Ready(make, handle, bench)


EXPECTED = 2 * np.outer([2, 3, 3, 2], [2, 3, 3, 2])  # two channels of the ones that a 3x3 window sees


def test_a_plan_runs_in_stream_order_and_uses_its_workspace(ready: Ready, bench: Any) -> None:
    ready.execute()
    np.testing.assert_array_equal(ready.result(), np.broadcast_to(EXPECTED, (3, 4, 4)))
    assert (bench.read(ready.workspace, 4 << 10, np.uint8) == 0xEE).all()


def test_a_captured_plan_is_a_kernel_that_reads_memory_at_each_replay(ready: Ready, bench: Any, cu: Any) -> None:
    cu.cuStreamBeginCapture(bench.stream, cu.raw.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
    ready.execute()
    graph = cu.cuStreamEndCapture(bench.stream)
    node = cu.cuGraphGetNodes(graph, 1)[0][0]
    assert cu.cuGraphNodeGetType(node) == cu.raw.CUgraphNodeType.CU_GRAPH_NODE_TYPE_KERNEL
    assert (bench.read(ready.addresses[3], 48) == 0).all()
    executable = bench.instantiate(graph)
    ready.plan.close()  # a captured plan stays alive
    for factor in (1.0, 5.0):
        cu.cuMemcpyHtoD(ready.addresses[1], np.full(32, factor, np.float32).ctypes.data, 128)
        cu.cuGraphLaunch(executable, bench.stream)
        np.testing.assert_array_equal(ready.result()[0], factor * EXPECTED)
    cu.cuGraphDestroy(graph)


def test_what_an_execution_needs(ready: Ready, refused: Any, make: Maker, handle: int) -> None:
    refused("BAD_PARAM_NULL_POINTER", lambda: ready.execute(workspace=0))
    refused("BAD_PARAM_NULL_POINTER", lambda: ready.execute(x=0))
    refused("BAD_PARAM_MISALIGNED_POINTER", lambda: ready.execute(x=ready.addresses[1] + 2))
    del ready.addresses[3]
    refused("BAD_PARAM ", ready.execute)
    refused("BAD_PARAM ", lambda: make.new("VARIANT_PACK", {"VARIANT_PACK_UNIQUE_IDS": [1]}).finalize())
    unready = make.new("EXECUTION_PLAN")
    pack = make.pack({1: 16})
    call = ("cudnnBackendExecute", handle, unready.pointer, pack.pointer)
    refused("BAD_PARAM_NOT_FINALIZED", lambda: make.library.call(*call))
    refused("BAD_PARAM ", lambda: make.library.call("cudnnBackendExecute", 16, ready.plan.pointer, pack.pointer))


def test_operands_outside_of_any_allocation_are_illegal(ready: Ready, bench: Any, emulation: Any) -> None:
    ready.execute(x=bench.device(np.ones(31)))  # one element too few
    with pytest.raises(RuntimeError, match="ILLEGAL_ADDRESS"):
        bench.finish()
    assert "tensor 1" in emulation.message
