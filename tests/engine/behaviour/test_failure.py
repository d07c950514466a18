"""Bad edits: the running graph keeps running, the error says what and where, nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg
from cudagraph import Tier

X = np.arange(12, dtype=np.float32)


def _running(engine: cg.CudaEngine) -> toy.Scale:
    scale = engine.add(toy.Scale(2.0))
    engine.bind(scale.x, X)
    engine.update()
    return scale


def test_the_first_build_raises(engine: cg.CudaEngine) -> None:
    scale = engine.add(toy.Scale(2.0))
    with pytest.raises(cg.ShapeError, match=r"scale\.x is fed by nothing.*engine\.bind\(scale\.x, array\)"):
        engine.update()
    assert scale.debug.state is cg.BlockState.ERROR
    engine.bind(scale.x, X)
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 2 * X)
    assert scale.debug.state is cg.BlockState.OK


def test_an_unfed_block_leaves_the_old_graph_running(engine: cg.CudaEngine) -> None:
    scale = _running(engine)
    shift = engine.add(toy.Shift(1.0))
    scale.factor.value = 3.0
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 3 * X)
    assert shift.debug.state is cg.BlockState.ERROR
    assert "fed by nothing" in str(engine.errors[0])
    assert Tier.FAILED in engine.explain().tiers
    scale.factor.value = 4.0
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 4 * X)
    engine.connect(scale.y, shift.x)
    engine.update()
    np.testing.assert_array_equal(engine.read(shift.y), 4 * X + 1)
    assert engine.errors == ()


def test_a_contradicting_shape_names_both_ends(engine: cg.CudaEngine) -> None:
    scale = _running(engine)
    offset = engine.add(toy.Offset([1, 2, 3, 4, 5]))
    engine.connect(scale.y, offset.x)
    engine.update()
    assert "scale.y -> offset.x" in offset.debug.message
    np.testing.assert_array_equal(engine.read(scale.y), 2 * X)


def test_a_bad_array_is_refused_at_once(engine: cg.CudaEngine) -> None:
    scale = _running(engine)
    with pytest.raises(cg.DescriptionError, match=r"astype\('float32'\)"):
        engine.bind(scale.x, X.astype(np.float64))
    with pytest.raises(cg.DescriptionError, match="arrays are bound to inputs"):
        engine.bind(scale.y, X)
    with pytest.raises(cg.DescriptionError, match="not in this engine"):
        engine.bind(toy.Scale().x, X)
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 2 * X)


def test_a_circle_is_named(engine: cg.CudaEngine) -> None:
    first, second = engine.add(toy.Scale(), toy.Scale())
    engine.connect(first.y, second.x)
    engine.connect(second.y, first.x)
    with pytest.raises(cg.CudaGraphError, match=r"delay|nothing decides|is not known"):
        engine.update()


def test_a_bad_new_shape_keeps_the_old_contents(engine: cg.CudaEngine) -> None:
    offset = engine.add(toy.Offset([1, 2, 3]))
    x = np.ones((4, 3), np.float32)
    engine.bind(offset.x, x)
    engine.update()
    engine.bind(offset.x, np.ones((4, 5), np.float32))
    engine.update()
    np.testing.assert_array_equal(engine.read(offset.y), x + [1, 2, 3])
    assert "3" in offset.debug.message
    engine.bind(offset.x, x + 1)
    engine.update()
    np.testing.assert_array_equal(engine.read(offset.y), x + 1 + [1, 2, 3])


def test_the_same_bad_shape_twice_never_reaches_the_running_graph(engine: cg.CudaEngine) -> None:
    offset = engine.add(toy.Offset([1, 2, 3]))
    x = np.ones((40, 3), np.float32)
    engine.bind(offset.x, x)
    engine.update()
    for _ in range(2):
        engine.bind(offset.x, np.ones((2, 5), np.float32))
        engine.update()
        np.testing.assert_array_equal(engine.read(offset.y), x + [1, 2, 3])
        assert engine.errors


def test_what_was_unbound_stays_until_nothing_reads_it(engine: cg.CudaEngine) -> None:
    first, second = engine.add(toy.Scale(2.0), toy.Scale(3.0))
    engine.bind(first.x, X)
    engine.bind(second.x, X)
    engine.update()
    engine.unbind(first.x)  # so that no new plan can be made
    engine.bind(second.x, X + 1)
    for _ in range(2):
        engine.update()
        np.testing.assert_array_equal(engine.read(first.y), 2 * X)
        np.testing.assert_array_equal(engine.read(second.y), 3 * (X + 1))
    engine.bind(first.x, X + 5)
    engine.update()
    np.testing.assert_array_equal(engine.read(first.y), 2 * (X + 5))
    assert engine.errors == ()


def test_contents_assigned_while_nothing_can_be_built_are_not_lost(engine: cg.CudaEngine) -> None:
    class Total(cg.Block):
        def __init__(self) -> None:
            super().__init__()
            with cg.BlockBuilder(self) as b:
                self.x = b.input("x", (12,))
                self.total = b.state("total", (12,))
                self.y = b.output("y", (12,))
                source = cg.CudaSource(toy.ACCUMULATE, name="accumulate.cu")
                b.kernel(source, elements=12, x=self.x, total=self.total, y=self.y, n=12)

    scale, total = _running(engine), engine.add(Total())  # nothing feeds it
    engine.update()
    total.total.value = np.full(12, 100, np.float32)
    engine.update()
    engine.connect(scale.y, total.x)
    engine.update()
    np.testing.assert_array_equal(engine.read(total.y), 100 + 2 * X)


def test_an_initialiser_that_raises(engine: cg.CudaEngine) -> None:
    scale = _running(engine)

    def init(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        raise RuntimeError("no data")

    accumulate = toy.Accumulate()
    accumulate.total.init = init
    engine.add(accumulate)
    engine.connect(scale.y, accumulate.x)
    scale.factor.value = 3.0
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 3 * X)
    assert "no data" in accumulate.debug.message


def test_a_new_block_that_does_not_compile(engine: cg.CudaEngine) -> None:
    scale = _running(engine)
    broken = toy.Scale(1.0)
    broken.replace_source(toy.SCALE.replace("factor * x[i]", "undeclared_name"))
    engine.add(broken)
    engine.connect(scale.y, broken.x)
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 2 * X)
    assert "undeclared_name" in broken.debug.message
    broken.replace_source(toy.SCALE)
    engine.update()
    np.testing.assert_array_equal(engine.read(broken.y), 2 * X)


def test_wires_of_one_engine_do_not_reach_another(make_engine) -> None:
    first, second = make_engine(), make_engine()
    a, b = first.add(toy.Scale()), second.add(toy.Scale())
    with pytest.raises(cg.DescriptionError, match="not in this engine"):
        first.connect(a.y, b.x)
    with pytest.raises(cg.DescriptionError, match="in an engine"):
        second.add(a)


def test_closed_engines_say_so(engine: cg.CudaEngine) -> None:
    _running(engine)
    engine.close()
    engine.close()
    with pytest.raises(cg.DescriptionError, match="closed"):
        engine.update()
