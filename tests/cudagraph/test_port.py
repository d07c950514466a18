"""Ports: how they print, what they offer while nothing runs them."""

from __future__ import annotations

import numpy as np
import pytest
from described import describe, kernel

from cudagraph.port import AppendPort, DelayPort, Direction, ViewPort


def say(block, b):
    block.x = b.input("x", (..., "n", 4), "T")
    block.y = b.output("y", block.x.shape, "T")
    block.half = b.view(block.y, (block.y.size // 2,), offset=1, name="half")
    block.before = b.delay(block.y)
    block.hits = b.append_output("hits", "float32", 10)
    b.kernel(kernel("const T* x, T* y, float* hits, unsigned int* hits_count"), elements=block.y.size,
             x=block.x, y=block.y, hits=block.hits, hits_count=block.hits.count)  # fmt: skip


@pytest.fixture
def block():
    return describe(say)


def test_ports_print_as_path_type_and_shape(block):
    assert str(block.x) == repr(block.x) == "described.x: T[..., n, 4]"
    assert str(block.half) == "described.half: T[(y.size // 2)]"
    assert str(block.hits.count) == "described.hits_count: uint32[]"


def test_kinds_of_ports(block):
    assert (type(block.half), type(block.before), type(block.hits)) == (ViewPort, DelayPort, AppendPort)
    assert [port.name for port in block.inputs] == ["x"]
    assert [port.name for port in block.outputs] == ["y", "half", "hits", "hits_count"]
    assert all(port.direction is Direction.OUTPUT for port in block.outputs)
    assert tuple(block.before.shape) == (..., "n", 4)
    assert tuple(block.hits.shape) == (10,)
    assert block.hits.capacity == 10
    assert block.hits.count.dtype == np.uint32
    assert block.half.source is block.before.source is block.y


def test_a_port_without_memory_says_how_it_gets_some(block):
    for use in (lambda: np.from_dlpack(block.y), lambda: block.y.__dlpack_device__(), lambda: block.y.__dlpack__()):
        with pytest.raises(
            AttributeError, match=r"described.y has no memory yet: add its block to an engine and call update\(\)"
        ):
            use()
    assert not hasattr(block.y, "__cuda_array_interface__")


class Live:
    """What an engine offers its ports."""

    def __init__(self, array):
        self.memory = array

    def array(self, tensor):
        return self.memory


def test_a_port_with_memory_offers_it(block):
    memory = np.arange(6.0)
    block.y.live = Live(memory)
    view = np.from_dlpack(block.y)
    assert np.shares_memory(view, memory)
    assert not hasattr(block.y, "__cuda_array_interface__")
