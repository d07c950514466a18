"""Which work each kind of change costs, counted by the recording device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg
from cudagraph import Tier
from cudagraph.engine.devices.recording import RecordingDevice

X = np.zeros(64, np.float32)


class Pipeline:
    """An engine on the recording device that ran one frame, and what it asked of the device since."""

    def __init__(self) -> None:
        self.device = RecordingDevice()
        self.engine = cg.CudaEngine(self.device, environment=cg.Environment(cache=None))

    def start(self) -> None:
        self.engine.update()
        self.device.calls.clear()

    def frame(self) -> Counter[str]:
        """The device calls of one more frame."""
        self.device.calls.clear()
        self.engine.update()
        return +self.device.calls


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    pipeline = Pipeline()
    yield pipeline
    pipeline.engine.close()


def test_clean_is_one_launch(pipeline: Pipeline) -> None:
    scale = pipeline.engine.add(toy.Scale())
    pipeline.engine.bind(scale.x, X)
    pipeline.start()
    for _ in range(5):
        assert pipeline.frame() == {"launch": 1}


def test_one_hot_parameter_by_value_patches_one_argument(pipeline: Pipeline) -> None:
    scale = pipeline.engine.add(toy.Scale())
    pipeline.engine.bind(scale.x, X)
    pipeline.start()
    scale.factor.value = 2.0
    assert pipeline.frame() == {"launch": 1, "set_scalar": 1}
    scale.factor.value = 2.0
    assert pipeline.frame() == {"launch": 1}


@pytest.mark.parametrize("changed", [1, 1000])
def test_any_number_of_parameters_in_the_block_is_one_upload(pipeline: Pipeline, changed: int) -> None:
    shifts = [pipeline.engine.add(toy.Shift()) for _ in range(1000)]
    for shift in shifts:
        pipeline.engine.bind(shift.x, X)
    pipeline.start()
    for shift in shifts[:changed]:
        shift.offset.value = 3.0
    assert pipeline.frame() == {"launch": 1, "upload": 1, "upload_bytes": 16_000}


def test_a_delay_swaps_two_pointers(pipeline: Pipeline) -> None:
    add, delay = pipeline.engine.add(toy.Add(), toy.Delay())
    pipeline.engine.connect(add.c, delay.x)
    pipeline.engine.connect(delay.y, add.b)
    pipeline.engine.bind(add.a, X)
    pipeline.start()
    for _ in range(3):
        assert pipeline.frame() == {"launch": 1, "set_address": 2}


def test_weight_and_state_contents_are_one_copy_each(pipeline: Pipeline) -> None:
    offset, accumulate = pipeline.engine.add(toy.Offset([1, 2, 3, 4]), toy.Accumulate())
    pipeline.engine.bind(offset.x, X.reshape(16, 4))
    pipeline.engine.bind(accumulate.x, X)
    pipeline.start()
    offset.weight.value = [4, 3, 2, 1]
    accumulate.total.value = np.ones(64)
    assert pipeline.frame() == {"launch": 1, "upload": 2, "upload_bytes": 16 + 256}
    assert pipeline.engine.explain().tiers == {Tier.CONTENTS}


def test_new_contents_of_a_bound_numpy_array_are_one_copy(pipeline: Pipeline) -> None:
    scale = pipeline.engine.add(toy.Scale())
    pipeline.engine.bind(scale.x, X)
    pipeline.start()
    pipeline.engine.bind(scale.x, X + 1)
    assert pipeline.frame() == {"launch": 1, "upload": 1, "upload_bytes": 256}


class DeviceArray:
    """A foreign array in device memory."""

    def __init__(self, device: RecordingDevice, length: int) -> None:
        self.__cuda_array_interface__ = {
            "data": (device.allocate(4 * length), False), "shape": (length,), "typestr": "<f4",
            "version": 3, "strides": None,
        }  # fmt: skip


def test_another_device_array_is_a_pointer_patch(pipeline: Pipeline) -> None:
    scale = pipeline.engine.add(toy.Scale())
    first, second = DeviceArray(pipeline.device, 64), DeviceArray(pipeline.device, 64)
    pipeline.engine.bind(scale.x, first)
    pipeline.start()
    pipeline.engine.bind(scale.x, second)
    assert pipeline.frame() == {"launch": 1, "set_address": 1}
    assert pipeline.engine.explain().tiers == {Tier.REBIND}


def test_a_library_option_recaptures_that_call_only(pipeline: Pipeline) -> None:
    first, second = pipeline.engine.add(toy.Gemm(), toy.Gemm())
    for gemm in (first, second):
        pipeline.engine.bind(gemm.a, X.reshape(8, 8))
        pipeline.engine.bind(gemm.b, X.reshape(8, 8))
    pipeline.start()
    second.epilogue.value = "relu"
    second.alpha.value = 2.0
    assert pipeline.frame() == {"launch": 1, "set_options": 1, "upload": 1, "upload_bytes": 48}
    assert pipeline.engine.explain().tiers == {Tier.RECAPTURE, Tier.HOT}


def test_new_code_compiles_and_swaps_one_kernel(pipeline: Pipeline) -> None:
    scale = pipeline.engine.add(toy.Scale())
    pipeline.engine.bind(scale.x, X)
    pipeline.start()
    scale.replace_source(toy.SCALE.replace("factor * x[i]", "factor + x[i]"))
    assert pipeline.frame() == {"launch": 1, "compile": 1, "load": 1, "set_kernel": 1, "set_scalar": 1}
    assert pipeline.frame() == {"launch": 1}


def test_broken_code_touches_nothing(pipeline: Pipeline) -> None:
    scale = pipeline.engine.add(toy.Scale())
    pipeline.engine.bind(scale.x, X)
    pipeline.start()
    scale.replace_source("#error wrong\n" + toy.SCALE)
    assert pipeline.frame() == {"launch": 1, "compile": 1}
    assert "wrong" in scale.debug.message
    assert pipeline.frame() == {"launch": 1}


def test_removing_one_of_many_touches_only_what_changed(pipeline: Pipeline) -> None:
    engine = pipeline.engine
    scales = [engine.add(toy.Scale()) for _ in range(200)]
    for source, target in pairwise(scales):
        engine.connect(source.y, target.x)
    engine.bind(scales[0].x, X)
    pipeline.start()
    engine.remove(scales[100])
    engine.connect(scales[99].y, scales[101].x)
    calls = pipeline.frame()
    assert (calls["nodes_removed"], calls["nodes_added"], calls["nodes_kept"]) == (1, 0, 198)
    assert calls["nodes_changed"] == 1  # the reader of what was removed
    assert calls["compile"] == calls["load"] == calls["allocate"] == calls["upload"] == 0


def test_a_changed_grid_keeps_the_topology(pipeline: Pipeline) -> None:
    scale = pipeline.engine.add(toy.Scale())
    pipeline.engine.bind(scale.x, X)
    pipeline.start()
    pipeline.engine.bind(scale.x, np.zeros(4096, np.float32))
    calls = pipeline.frame()
    assert calls["replace_same_topology"] == 1
    assert calls["compile"] == 0


def test_everything_dirty_is_applied_in_one_frame(pipeline: Pipeline) -> None:
    engine = pipeline.engine
    scale, shift, offset, gemm = engine.add(toy.Scale(), toy.Shift(), toy.Offset([1, 2]), toy.Gemm())
    engine.bind(scale.x, X)
    engine.bind(shift.x, X)
    engine.bind(offset.x, X.reshape(32, 2))
    engine.bind(gemm.a, X.reshape(8, 8))
    engine.bind(gemm.b, X.reshape(8, 8))
    pipeline.start()
    scale.factor.value = 5.0
    shift.offset.value = 6.0
    offset.weight.value = [3, 4]
    gemm.epilogue.value = "relu"
    scale.replace_source(toy.SCALE.replace("factor *", "2 * factor *"))
    other = engine.add(toy.Scale())
    engine.connect(scale.y, other.x)
    engine.update()
    executable = pipeline.device.executables[0]
    values = [np.frombuffer(data, np.float32)[0] for data in executable.scalars.values()]
    assert 5.0 in values
    assert {Tier.STRUCTURE, Tier.HOT, Tier.CONTENTS} <= engine.explain().tiers
    assert pipeline.frame() == {"launch": 1}


def test_nothing_is_allocated_after_the_build(pipeline: Pipeline) -> None:
    engine = pipeline.engine
    add, delay, keep = engine.add(toy.Add(), toy.Delay(), toy.Filter())
    engine.connect(add.c, delay.x)
    engine.connect(delay.y, add.b)
    engine.connect(add.c, keep.x)
    engine.bind(add.a, X)
    engine.update()
    with pipeline.device.forbid("allocate", "free", "build", "replace"):
        for frame in range(50):
            keep.threshold.value = float(frame)
            engine.bind(add.a, X + frame)
            engine.update()


def test_memory_is_returned(pipeline: Pipeline) -> None:
    engine = pipeline.engine
    for _ in range(3):
        add, delay = engine.add(toy.Add(), toy.Delay())
        engine.connect(add.c, delay.x)
        engine.connect(delay.y, add.b)
        engine.bind(add.a, X)
        engine.update()
        engine.remove(add, delay)
        scale = engine.add(toy.Scale())
        engine.bind(scale.x, X)
        engine.update()
        engine.remove(scale)
    engine.update()
    assert pipeline.device.allocations == 0
    engine.close()
    assert pipeline.device.allocated_nbytes == 0


@pytest.mark.parametrize("step", ["allocate", "replace"])
def test_a_failed_rebuild_leaves_the_old_graph(pipeline: Pipeline, step: str) -> None:
    engine = pipeline.engine
    scale = engine.add(toy.Scale())
    engine.bind(scale.x, X)
    pipeline.start()
    other = engine.add(toy.Accumulate())
    engine.connect(scale.y, other.x)
    pipeline.device.fail(step, cg.DeviceError("out of memory: 256 bytes were asked for"))
    before = pipeline.device.allocations
    calls = pipeline.frame()
    assert calls["launch"] == 1
    assert pipeline.device.allocations == before
    assert "out of memory" in str(engine.errors[0])
    engine.keep(scale.y)  # any structural edit tries again
    engine.update()
    assert engine.errors == ()
    assert len(engine.plan.nodes) == 2


def test_the_cold_path_is_not_retried_while_nothing_changes(pipeline: Pipeline) -> None:
    engine = pipeline.engine
    scale = engine.add(toy.Scale())
    engine.bind(scale.x, X)
    pipeline.start()
    engine.add(toy.Scale())  # nothing feeds it
    engine.update()
    assert pipeline.frame() == {"launch": 1}
    scale.factor.value = 9.0
    assert pipeline.frame() == {"launch": 1, "set_scalar": 1}


def test_memory_that_the_last_good_graph_reads_is_not_freed(pipeline: Pipeline) -> None:
    engine = pipeline.engine
    first, second = engine.add(toy.Scale(), toy.Scale())
    engine.bind(first.x, X)
    engine.bind(second.x, X)
    pipeline.start()
    engine.unbind(first.x)  # no new plan can be made without it
    engine.bind(second.x, X + 1)
    assert pipeline.frame()["free"] == 0
    engine.bind(first.x, X)
    assert pipeline.frame()["free"] == 1
