"""The whole product once, in seconds: describe, run, tweak, rebuild, edit, look inside, save and load."""

from __future__ import annotations

import json

import numpy as np

import cudagraph as cg
from cudagraph.blocks import Linear, ParticleSystem, ReLU, Scale, Sequential, Softmax, VectorAdd


class Clip(cg.Block):
    """y = min(x, high)."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.high = b.parameter("high", 10.0)
            self.y = b.output("y", self.x.shape)
            b.elementwise("y = fminf(x, high)", x=self.x, high=self.high, y=self.y)


def test_everything_once(tmp_path):
    a = np.arange(1000, dtype=np.float32)
    with cg.CudaEngine("host", profile="kernel") as engine:
        add, clip = engine.add(VectorAdd(2.0), Clip())
        engine.connect(add.c, clip.x)
        engine.bind(add.a, a)
        engine.bind(add.b, np.ones_like(a))
        engine.update(sync=True)
        np.testing.assert_array_equal(engine.read(clip.y), np.minimum(a + 2, 10))

        add.gain.value, clip.high.value = 3.0, 100.0  # hot
        engine.update(sync=True)
        np.testing.assert_array_equal(engine.read(clip.y), np.minimum(a + 3, 100))
        assert engine.explain().tiers == {"hot"}

        engine.bind(add.a, a[::-1].copy())  # another array
        engine.update()
        np.testing.assert_array_equal(engine.read(clip.y), np.minimum(a[::-1] + 3, 100))
        assert engine.rebuilds == 1

        scale = engine.add(Scale(2.0))  # structure
        engine.connect(clip.y, scale.x)
        engine.update(sync=True)
        np.testing.assert_array_equal(engine.read(scale.y), 2 * np.minimum(a[::-1] + 3, 100))
        assert engine.rebuilds == 2

        source = 'extern "C" __global__ void scale(const T* x, T* y, float factor, long long n) {'
        scale.replace_source(source + " for (long long i = threadIdx.x; i < n; i += 250) y[i] = -x[i]; }")
        engine.update(sync=True)
        np.testing.assert_array_equal(engine.read(scale.y), -np.minimum(a[::-1] + 3, 100))
        assert engine.rebuilds == 2

        assert add.debug.state == "ok" and (add.debug.time_ms or 0) > 0
        assert "vector_add" in engine.report()
        assert list(engine.graph().edges) == [("vector_add", "clip"), ("clip", "scale")]
        assert "scale" in cg.render(engine, "mermaid")
        engine.trace(tmp_path / "trace.json")
        assert json.loads((tmp_path / "trace.json").read_text())


def test_a_network_and_a_particle_system_share_a_graph():
    with cg.CudaEngine("host") as engine:
        network = engine.add(Sequential(Linear(4, 8, seed=0), ReLU(), Linear(8, 3, seed=1), Softmax()))
        system = engine.add(ParticleSystem(1000, width=64, height=36))
        engine.bind(network.x, np.ones((2, 4), np.float32))
        for _ in range(5):
            engine.update()
        system.gravity.value = 1.0
        engine.update(sync=True)
        np.testing.assert_allclose(engine.read(network.y).sum(axis=1), 1, rtol=1e-6)
        assert system.emitter.debug.append_counts["particles"] == 25
        assert engine.read(system.image).shape == (36, 64, 3)
        assert engine.rebuilds == 1


def test_weights_are_saved_and_loaded():
    first, second = Linear(3, 2, seed=0), Linear(3, 2, seed=1)
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(second.weight.value, first.weight.value)
