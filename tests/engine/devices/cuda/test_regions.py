"""Regions: conditional nodes whose conditions are read on the device."""

from __future__ import annotations

import numpy as np
import pytest

from cudagraph.engine.devices.base import Timing
from cudagraph.engine.plan import KernelNode, Pointer, RegionKind, RegionNode
from cudagraph.errors import DeviceError
from cudagraph.program import Program

BUMP = Program(
    'extern "C" __global__ void bump(int* value, int* left) { *value += 1; if (left && *left > 0) *left -= 1; }',
    "bump",
    "bump.cu",
)


@pytest.fixture
def region(make):
    """A region of bodies that each count up a value of their own; returns its executable, condition and values."""

    def region(kind, bodies=1, dtype=np.int32, counts_down=False):
        condition = make.buffer((), dtype)
        values = [make.buffer((), np.int32) for _ in range(bodies)]
        make.programs.append(BUMP)
        left = Pointer(condition) if counts_down else Pointer(values[0])
        inner = tuple(
            (
                KernelNode(
                    index=0, name=f"bump{i}", block="test", program=0, grid=(1, 1, 1), threads=(1, 1, 1),
                    arguments=(Pointer(value), left if counts_down else Pointer(make_zero(make))),
                    reads=(value,), writes=(value,),
                ),
            )
            for i, value in enumerate(values)
        )  # fmt: skip
        make.nodes.append(
            RegionNode(
                index=0, name="region#0", block="test", kind=kind, condition=condition, bodies=inner,
                reads=(condition, *values), writes=tuple(values),
            )
        )  # fmt: skip
        return make.build(), condition, values

    return region


def make_zero(make):
    """A buffer of one zero."""
    return make.buffer((), np.int32)


@pytest.mark.parametrize("dtype", [np.bool_, np.int32, np.int64, np.uint8])
def test_when_runs_its_body_when_the_flag_is_set(make, region, run, dtype):
    executable, condition, (value,) = region(RegionKind.WHEN, dtype=dtype)
    run(executable, 2)
    assert make.read(value) == 0
    make.write(condition, 1)
    run(executable, 3)
    assert make.read(value) == 3


def test_when_else(make, region, run):
    executable, condition, values = region(RegionKind.WHEN, 2)
    run(executable)
    make.write(condition, 1)
    run(executable, 2)
    assert [int(make.read(value)) for value in values] == [2, 1]


def test_switch_runs_the_body_of_the_index(make, region, run):
    executable, condition, values = region(RegionKind.SWITCH, 3)
    for index in (2, 0, 2, 7, -1):
        make.write(condition, index)
        run(executable)
    assert [int(make.read(value)) for value in values] == [1, 0, 2]


def test_loop_runs_as_often_as_the_count_says(make, region, run):
    executable, condition, (value,) = region(RegionKind.LOOP)
    for count, total in ((0, 0), (5, 5), (-3, 5), (2, 7)):
        make.write(condition, count)
        run(executable)
        assert make.read(value) == total


def test_while_runs_until_the_flag_is_cleared_on_the_device(make, region, run):
    executable, condition, (value,) = region(RegionKind.WHILE, counts_down=True)
    make.write(condition, 4)
    run(executable)
    assert make.read(value) == 4 and make.read(condition) == 0


def test_a_moved_buffer_builds_a_new_graph_and_node_timing_measures_the_region(make, region, device, run, driver):
    executable, condition, (value,) = region(RegionKind.WHEN)
    make.write(condition, 1)
    run(executable)
    elsewhere = device.allocate(4)
    device.upload(elsewhere, np.array(100, np.int32))
    driver.take()
    executable.set_address(value, elsewhere)
    run(executable)
    assert driver.take().count("cuGraphInstantiate") == 1
    assert "region#0: a conditional node cannot be changed in place" in executable.rebuild_reason
    (record,) = run(executable, 1, Timing.NODE)
    assert record.node_times.shape == (1, 2)
    out = np.empty((), np.int32)
    device.download(elsewhere, out)
    assert out == 102


def test_a_condition_has_to_be_an_integer(region):
    with pytest.raises(DeviceError, match="region#0: the condition b0 is float32; it has to be bool or an integer"):
        region(RegionKind.WHEN, dtype=np.float32)
