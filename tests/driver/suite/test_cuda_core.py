"""cuda.core on the emulated driver, unmodified."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def device(kernels: Any, cu: Any) -> Iterator[Any]:
    """The device of cuda.core. (Its `sync` goes through the CUDA runtime, which the emulation does not serve.)"""
    from cuda.core import Device

    made = Device()
    made.set_current()
    yield made
    gc.collect()


@pytest.fixture(scope="session")
def kernels(context: Any, image: bytes) -> dict[str, Any]:
    """Kernels of the test module, loaded once: cuda.core never unloads a library."""
    from cuda.core import Device, ObjectCode

    Device().set_current()
    code = ObjectCode.from_cubin(image)
    return {name: code.get_kernel(name) for name in ("saxpy", "scale", "count_down")}


class Arrays:
    """Device arrays of one stream."""

    def __init__(self, device: Any, cu: Any) -> None:
        self.stream = device.create_stream()
        self._device, self._cu = device, cu

    def make(self, values: Any, dtype: Any = np.float32) -> Any:
        """A buffer from the stream-ordered pool."""
        data = np.array(values, dtype)
        buffer = self._device.allocate(data.nbytes, stream=self.stream)
        self._cu.cuMemcpyHtoDAsync(int(buffer.handle), data.ctypes.data, data.nbytes, self.stream.handle)
        return buffer

    def read(self, buffer: Any, count: int) -> np.ndarray:
        """What the stream left there."""
        out = np.empty(count, np.float32)
        self._cu.cuMemcpyDtoHAsync(out.ctypes.data, int(buffer.handle), out.nbytes, self.stream.handle)
        return out


@pytest.fixture
def arrays(device: Any, cu: Any) -> Iterator[Arrays]:
    """Makes and reads device arrays."""
    made = Arrays(device, cu)
    yield made
    made.stream.close()


def config(count: int = 32) -> Any:
    """A launch over `count` elements."""
    from cuda.core import LaunchConfig

    return LaunchConfig(grid=-(-count // 32), block=32)


def test_the_device_describes_itself(device: Any, emulation: Any) -> None:
    assert device.name == "Emulated GPU"
    assert tuple(device.compute_capability) == (9, 0)
    assert device.properties.max_threads_per_block == 1024


def test_a_launch(device: Any, kernels: dict[str, Any], arrays: Arrays) -> None:
    from cuda.core import launch

    x, y = arrays.make(np.arange(100)), arrays.make(np.ones(100))
    launch(arrays.stream, config(100), kernels["saxpy"], np.int32(100), np.float32(2), x, y)
    np.testing.assert_array_equal(arrays.read(y, 100), 2 * np.arange(100) + 1)
    assert kernels["saxpy"].num_arguments == 4


def test_an_explicit_graph_and_its_updates(kernels: dict[str, Any], arrays: Arrays) -> None:
    from cuda.core.graph import GraphDefinition

    x, y = arrays.make([3.0]), arrays.make([1.0])
    graph = GraphDefinition()
    node = graph.memset(y, 0, 4).launch(config(), kernels["saxpy"], np.int32(1), np.float32(2), x, y)
    executable = graph.instantiate()
    executable.launch(arrays.stream)
    assert arrays.read(y, 1)[0] == 6
    executable[node].update(config=config(), kernel=kernels["saxpy"], args=(np.int32(1), np.float32(5), x, y))
    executable.launch(arrays.stream)
    assert arrays.read(y, 1)[0] == 15
    executable[node].disable()
    executable.launch(arrays.stream)
    assert arrays.read(y, 1)[0] == 0
    with pytest.raises(Exception, match="TOPOLOGY_CHANGED"):
        executable.update(GraphDefinition())
    executable.close()


def test_a_while_loop(kernels: dict[str, Any], arrays: Arrays) -> None:
    from cuda.core.graph import GraphDefinition

    left, y, graph = arrays.make([4], np.int32), arrays.make([1.0]), GraphDefinition()
    condition = graph.create_condition(default_value=1)
    body = graph.while_loop(condition).body
    step = body.launch(config(1), kernels["count_down"], condition, left)
    step.launch(config(), kernels["scale"], y, np.int32(1), np.float32(3))
    graph.instantiate().launch(arrays.stream)
    assert arrays.read(y, 1)[0] == 81


def test_captured_work_embedded_in_a_graph(device: Any, kernels: dict[str, Any], arrays: Arrays) -> None:
    from cuda.core import launch
    from cuda.core.graph import GraphDefinition

    y = arrays.make([1.0])
    builder = device.create_graph_builder().begin_building()
    launch(builder, config(), kernels["scale"], y, np.int32(1), np.float32(4))
    builder.end_building()
    graph = GraphDefinition()
    graph.embed(builder.graph_definition).launch(config(), kernels["scale"], y, np.int32(1), np.float32(5))
    graph.instantiate().launch(arrays.stream)
    assert arrays.read(y, 1)[0] == 20


def test_events_measure(device: Any, arrays: Arrays) -> None:
    from cuda.core import EventOptions

    options = EventOptions(timing_enabled=True)
    first, last = arrays.stream.record(options=options), arrays.stream.record(options=options)
    arrays.stream.sync()
    assert last.is_done and last - first >= 0
