"""What comes out of the device is what the blocks describe, before and after every kind of edit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg
from cudagraph.blocks import Linear

X = np.linspace(-2, 3, 1000, dtype=np.float32)


def test_chain_computes(engine: cg.CudaEngine) -> None:
    scale, shift = engine.add(toy.Scale(2.0), toy.Shift(1.0))
    engine.connect(scale.y, shift.x)
    engine.bind(scale.x, X)
    engine.update()
    np.testing.assert_array_equal(engine.read(shift.y), 2 * X + 1)
    assert scale.debug.state is cg.BlockState.OK


@pytest.mark.parametrize("length", [0, 1, 3, 63, 1000, 1025])
def test_every_size(engine: cg.CudaEngine, length: int) -> None:
    add = engine.add(toy.Add())
    a, b = np.arange(length, dtype=np.float32), np.ones(length, np.float32)
    engine.bind(add.a, a)
    engine.bind(add.b, b)
    engine.update()
    np.testing.assert_array_equal(engine.read(add.c), a + 1)


def test_hot_parameters_reach_the_next_frame(engine: cg.CudaEngine) -> None:
    chain = engine.add(toy.Chain(2.0, 1.0))
    engine.bind(chain.x, X)
    engine.update()
    chain.factor.value = 3.0
    engine.update()
    np.testing.assert_array_equal(engine.read(chain.y), 3 * X + 1)
    chain.offset.value = -1.0
    chain.factor.value = 0.5
    engine.update()
    np.testing.assert_array_equal(engine.read(chain.y), np.float32(0.5) * X - 1)
    assert engine.rebuilds == 1


def test_a_parameter_set_before_the_first_frame_counts(engine: cg.CudaEngine) -> None:
    chain = engine.add(toy.Chain())
    chain.factor.value, chain.offset.value = 4.0, 5.0
    engine.bind(chain.x, X)
    engine.update()
    np.testing.assert_array_equal(engine.read(chain.y), 4 * X + 5)


def test_weights_change_live(engine: cg.CudaEngine) -> None:
    offset = engine.add(toy.Offset([1, 2, 3]))
    x = np.zeros((5, 3), np.float32)
    engine.bind(offset.x, x)
    engine.update()
    offset.weight.value = [10, 20, 30]
    engine.update()
    np.testing.assert_array_equal(engine.read(offset.y), x + [10, 20, 30])
    offset.load_state_dict({"weight": [7, 8, 9]})
    engine.update()
    np.testing.assert_array_equal(engine.read(offset.y), x + [7, 8, 9])
    assert engine.rebuilds == 1


def test_rebinding_and_streaming_arrays(engine: cg.CudaEngine) -> None:
    scale = engine.add(toy.Scale(2.0))
    engine.bind(scale.x, X)
    engine.update()
    engine.bind(scale.x, X + 1)
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 2 * (X + 1))
    live = X.copy()
    engine.bind(scale.x, live, stream=True)
    engine.update()
    live += 5
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 2 * (X + 5))
    assert engine.rebuilds == 1


def test_a_bound_numpy_array_is_a_snapshot(engine: cg.CudaEngine) -> None:
    scale = engine.add(toy.Scale(2.0))
    x = X.copy()
    engine.bind(scale.x, x)
    x[:] = 0
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 2 * X)


def test_another_shape_is_a_new_plan(engine: cg.CudaEngine) -> None:
    scale = engine.add(toy.Scale(2.0))
    for shape in ((10,), (4, 5), (3, 2, 2)):
        x = np.random.default_rng(0).random(shape, np.float32)
        engine.bind(scale.x, x)
        engine.update()
        np.testing.assert_array_equal(engine.read(scale.y), 2 * x)
    assert engine.rebuilds == 3


def test_state_survives_frames_and_structural_changes(engine: cg.CudaEngine) -> None:
    accumulate = engine.add(toy.Accumulate())
    engine.bind(accumulate.x, np.ones(7, np.float32))
    for _ in range(3):
        engine.update()
    scale = engine.add(toy.Scale(10.0))
    engine.connect(accumulate.y, scale.x)
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), np.full(7, 40, np.float32))
    accumulate.total.value = np.zeros(7)
    engine.update()
    np.testing.assert_array_equal(accumulate.total.value, np.ones(7, np.float32))
    engine.remove(scale)
    engine.update()
    np.testing.assert_array_equal(engine.read(accumulate.y), np.full(7, 2, np.float32))


def test_state_survives_removal_of_its_block(engine: cg.CudaEngine) -> None:
    accumulate = engine.add(toy.Accumulate())
    engine.bind(accumulate.x, np.ones(3, np.float32))
    engine.update()
    engine.update()
    engine.remove(accumulate)
    np.testing.assert_array_equal(accumulate.state_dict()["total"], [2, 2, 2])
    engine.add(accumulate)
    engine.bind(accumulate.x, np.ones(3, np.float32))
    engine.update()
    np.testing.assert_array_equal(engine.read(accumulate.y), [3, 3, 3])


def test_delay_gives_the_frame_before(engine: cg.CudaEngine) -> None:
    scale, delay = engine.add(toy.Scale(1.0), toy.Delay(init=-1.0))
    total = engine.add(toy.Add())
    engine.connect(scale.y, delay.x)
    engine.connect(scale.y, total.a)
    engine.connect(delay.y, total.b)
    engine.bind(scale.x, np.full(4, 10, np.float32))
    seen = []
    for factor in (1.0, 2.0, 3.0, 4.0):
        scale.factor.value = factor
        engine.update()
        seen.append(float(engine.read(total.c)[0]))
    assert seen == [10 - 1, 20 + 10, 30 + 20, 40 + 30]


def test_feedback_through_a_delay(engine: cg.CudaEngine) -> None:
    add, delay = engine.add(toy.Add(), toy.Delay())
    engine.connect(add.c, delay.x)
    engine.connect(delay.y, add.b)
    engine.bind(add.a, np.arange(5, dtype=np.float32))
    for _ in range(4):
        engine.update()
    np.testing.assert_array_equal(engine.read(add.c), 4 * np.arange(5, dtype=np.float32))


def test_feedback_survives_a_structural_change(engine: cg.CudaEngine) -> None:
    add, delay = engine.add(toy.Add(), toy.Delay())
    engine.connect(add.c, delay.x)
    engine.connect(delay.y, add.b)
    engine.bind(add.a, np.ones(5, np.float32))
    for _ in range(3):
        engine.update()
    other = engine.add(toy.Scale(2.0))
    engine.connect(add.c, other.x)
    engine.update()
    np.testing.assert_array_equal(engine.read(other.y), np.full(5, 8, np.float32))


def test_a_delay_that_a_rebuild_keeps_in_another_way(engine: cg.CudaEngine) -> None:
    """A second delay of the same port cannot swap its memory too, so both are copied from then on."""
    scale, delay = engine.add(toy.Scale(1.0), toy.Delay(init=-1.0))
    seen = engine.add(toy.Add())
    engine.connect(scale.y, delay.x)
    engine.connect(scale.y, seen.a)
    engine.connect(delay.y, seen.b)
    engine.bind(scale.x, np.ones(4, np.float32))
    sums = []
    other = copied = None
    for frame in range(1, 9):
        scale.factor.value = float(frame)
        if frame == 4:
            other, copied = engine.add(toy.Delay(), toy.Shift())
            engine.connect(scale.y, other.x)
            engine.connect(other.y, copied.x)
        if frame == 7:
            engine.remove(other, copied)
        engine.update()
        sums.append(float(engine.read(seen.c)[0]))
    assert sums == [0.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0]


def test_inplace_chain(engine: cg.CudaEngine) -> None:
    scale, first, second = engine.add(toy.Scale(1.0), toy.Double(), toy.Double())
    engine.connect(scale.y, first.x)
    engine.connect(first.y, second.x)
    engine.bind(scale.x, X)
    engine.update()
    engine.update()
    np.testing.assert_array_equal(engine.read(second.y), 4 * X)
    assert not any(type(node).__name__ == "CopyNode" for node in engine.plan.nodes)


def test_inplace_copies_when_somebody_else_needs_the_old_contents(engine: cg.CudaEngine) -> None:
    scale, double, total = engine.add(toy.Scale(1.0), toy.Double(), toy.Add())
    engine.connect(scale.y, double.x)
    engine.connect(double.y, total.a)
    engine.connect(scale.y, total.b)
    engine.bind(scale.x, X)
    engine.update()
    np.testing.assert_array_equal(engine.read(total.c), 3 * X)


def test_a_bound_array_is_never_changed(engine: cg.CudaEngine) -> None:
    double = engine.add(toy.Double())
    engine.bind(double.x, X)
    for _ in range(3):
        engine.update()
        np.testing.assert_array_equal(engine.read(double.y), 2 * X)


def test_gemm_with_hot_alpha_and_recaptured_epilogue(engine: cg.CudaEngine) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((17, 5), np.float32), rng.standard_normal((5, 9), np.float32)
    gemm = engine.add(toy.Gemm())
    engine.bind(gemm.a, a)
    engine.bind(gemm.b, b)
    engine.update()
    np.testing.assert_allclose(engine.read(gemm.c), a @ b, rtol=1e-5, atol=1e-5)
    gemm.alpha.value = -2.0
    engine.update()
    np.testing.assert_allclose(engine.read(gemm.c), -2 * (a @ b), rtol=1e-5, atol=1e-5)
    gemm.epilogue.value = "relu"
    engine.update()
    np.testing.assert_allclose(engine.read(gemm.c), np.maximum(-2 * (a @ b), 0), rtol=1e-5, atol=1e-5)
    assert engine.rebuilds == 1


def test_a_vector_is_a_matrix_of_one_row(engine: cg.CudaEngine) -> None:
    linear = engine.add(Linear(5, 3))
    x = np.arange(5, dtype=np.float32)
    engine.bind(linear.x, x)
    engine.update()
    expected = linear.weight.value @ x + linear.bias.value
    np.testing.assert_allclose(engine.read(linear.y), expected, rtol=1e-5, atol=1e-5)


def test_blocks_come_and_go(engine: cg.CudaEngine) -> None:
    first, second = engine.add(toy.Scale(2.0), toy.Scale(3.0))
    engine.connect(first.y, second.x)
    engine.bind(first.x, X)
    engine.update()
    between = engine.add(toy.Shift(1.0))
    engine.disconnect(first.y, second.x)
    engine.connect(first.y, between.x)
    engine.connect(between.y, second.x)
    engine.update()
    np.testing.assert_array_equal(engine.read(second.y), 3 * (2 * X + 1))
    engine.remove(between)
    engine.connect(first.y, second.x)
    engine.update()
    np.testing.assert_array_equal(engine.read(second.y), 6 * X)


def test_inner_ports_can_be_kept(engine: cg.CudaEngine) -> None:
    scales = [engine.add(toy.Scale(2.0)) for _ in range(4)]
    for source, target in pairwise(scales):
        engine.connect(source.y, target.x)
    engine.bind(scales[0].x, X)
    engine.update()
    with pytest.raises(cg.DescriptionError, match=r"engine\.keep\(scale\.y\)"):
        engine.read(scales[0].y)
    engine.keep(scales[0].y)
    engine.update()
    np.testing.assert_array_equal(engine.read(scales[0].y), 2 * X)
    np.testing.assert_array_equal(engine.read(scales[-1].y), 16 * X)


def test_views_of_delayed_memory_follow_the_swap(engine: cg.CudaEngine) -> None:
    class Halves(cg.Block):
        def __init__(self) -> None:
            super().__init__()
            with cg.BlockBuilder(self) as b:
                self.x = b.input("x", (8,))
                self.factor = b.parameter("factor", 1.0)
                self.y = b.output("y", (8,))
                b.elementwise("y = factor * x", x=self.x, factor=self.factor, y=self.y)
                self.second = b.view(self.y, (4,), offset=4, name="second")
                self.before = b.delay(self.y, name="before")

    halves, add, shift = engine.add(Halves(), toy.Add(), toy.Shift())
    engine.connect(halves.second, shift.x)
    engine.connect(halves.y, add.a)
    engine.connect(halves.before, add.b)
    engine.keep(halves.second)
    x = np.arange(8, dtype=np.float32)
    engine.bind(halves.x, x)
    for factor in (1, 2, 3, 4):
        halves.factor.value = float(factor)
        engine.update()
        np.testing.assert_array_equal(engine.read(halves.second), factor * x[4:])
        np.testing.assert_array_equal(engine.read(shift.y), factor * x[4:])
        np.testing.assert_array_equal(engine.read(add.c), (2 * factor - 1) * x)


def test_a_delay_is_read_at_its_source(engine: cg.CudaEngine) -> None:
    scale, delay, shift = engine.add(toy.Scale(1.0), toy.Delay(), toy.Shift())
    engine.connect(scale.y, delay.x)
    engine.connect(delay.y, shift.x)
    engine.bind(scale.x, X)
    engine.update()
    with pytest.raises(cg.DescriptionError, match="one frame ago"):
        engine.read(delay.y)


def test_elementwise_operands_have_one_size(engine: cg.CudaEngine) -> None:
    class Mixed(cg.Block):
        def __init__(self) -> None:
            super().__init__()
            with cg.BlockBuilder(self) as b:
                self.x = b.input("x", ("n",))
                self.z = b.input("z", ("m",))
                self.y = b.output("y", ("n",))
                b.elementwise("y = x + z", x=self.x, z=self.z, y=self.y)

    mixed = engine.add(Mixed())
    engine.bind(mixed.x, X)
    engine.bind(mixed.z, X[:7])
    with pytest.raises(cg.ShapeError, match=r"element by element.*mixed\.z is \[7\]"):
        engine.update()


def test_two_engines_at_once(make_engine) -> None:
    engines = [make_engine(), make_engine()]
    scales = [engine.add(toy.Scale(factor)) for engine, factor in zip(engines, (2.0, 3.0), strict=True)]
    for engine, scale in zip(engines, scales, strict=True):
        engine.bind(scale.x, X)
        engine.update()
    for engine, scale, factor in zip(engines, scales, (2, 3), strict=True):
        np.testing.assert_array_equal(engine.read(scale.y), factor * X)
