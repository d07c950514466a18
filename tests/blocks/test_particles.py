"""The particle system over several frames, and its random numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import PARTICLE, Drag, Gravity, Integrate, ParticleSystem, SphereEmitter, ToneMap
from cudagraph.blocks.particles.philox import philox, uniform
from cudagraph.blocks.particles.sphere_emitter import CLOCK

# The known answers of Random123, the authors' own implementation: counter, key, result.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
PHILOX = cg.CudaSource("""
#include "philox.cuh"
extern "C" __global__ void words(const unsigned int* counter, const unsigned int* key, unsigned int* out)
{
    const uint4 made = philox(make_uint4(counter[0], counter[1], counter[2], counter[3]), make_uint2(key[0], key[1]));
    out[0] = made.x; out[1] = made.y; out[2] = made.z; out[3] = made.w;
}
""")


class Words(cg.Block):
    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.counter = b.input("counter", (4,), "uint32")
            self.key = b.input("key", (2,), "uint32")
            self.out = b.output("out", (4,), "uint32")
            b.kernel(PHILOX, elements=1, counter=self.counter, key=self.key, out=self.out)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_gives_the_known_answers(counter, key, expected, engine):
    assert philox(np.array([counter], np.uint32), key)[0].tolist() == list(expected)
    words = engine.add(Words())
    engine.bind(words.counter, np.array(counter, np.uint32))
    engine.bind(words.key, np.array(key, np.uint32))
    engine.update()
    assert engine.read(words.out).tolist() == list(expected)


def test_uniform_numbers_are_in_range():
    assert uniform(np.array([0, 0xFFFFFFFF], np.uint32)).tolist() == [0, 1 - 2.0**-24]


def in_order(particles: np.ndarray) -> np.ndarray:
    return particles[np.lexsort((particles["age"], particles["lifetime"]))]


def simulate(system: ParticleSystem, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """The same frames with the references of the parts."""
    capacity = system.particles.block.root.emitter.particles.capacity  # type: ignore[attr-defined]
    particles, clock = np.zeros(0, PARTICLE), np.zeros(1, CLOCK)
    dt, values = system.dt.value, {name: parameter.value for name, parameter in system.parameters.items()}
    for _ in range(frames):
        room = np.zeros(capacity, PARTICLE)
        room[: len(particles)] = particles
        emitter = {name.split("/")[1]: value for name, value in values.items() if name.startswith("emitter/")}
        particles, count, clock = SphereEmitter.reference(
            room, np.uint32(len(particles)), clock=clock, dt=dt, **emitter
        )
        number = np.uint32(count)
        particles = Gravity.reference(
            particles, number, strength=values["gravity"], direction=values["gravity/direction"], dt=dt
        )
        particles = Drag.reference(particles, number, coefficient=values["drag"], dt=dt)
        particles = Integrate.reference(particles, number, bounce=values["integrate/bounce"], dt=dt)
    camera = {name: values[f"splat/{name}"] for name in ("brightness", "distance", "eye_height", "zoom")}
    return particles, system.splat.reference(particles, np.uint32(len(particles)), **camera)


def test_the_system_equals_its_parts_over_many_frames(engine):
    """Long enough for particles to die and to bounce."""
    frames = 25
    system = engine.add(ParticleSystem(500, rate=440.0, lifetime=1.0, dt=0.05, width=160, height=90, seed=3))
    engine.keep(system.light)
    for _ in range(frames):
        engine.update()
    count = int(engine.read(system.count))
    particles, image = in_order(engine.read(system.particles)[:count]), engine.read(system.light)
    picture = engine.read(system.image)
    expected, light = simulate(system, frames)
    assert engine.rebuilds == 1
    assert count == len(expected) < 440
    for name in PARTICLE.names or ():
        np.testing.assert_allclose(particles[name], in_order(expected)[name], rtol=0, atol=2e-5)
    # A particle on the border of two pixels may be seen in either.
    assert np.abs(image - light).sum() < 0.02 * light.sum()
    assert picture.shape == (90, 160, 3) and picture.max() > 20
    np.testing.assert_array_equal(picture, ToneMap.reference(image, exposure=1.0))


def test_the_same_particles_are_made_in_any_order():
    made = []
    for schedule in ("forward", "reverse", "random"):
        environment = replace(cg.Environment.from_environ(), schedule=schedule)
        with cg.CudaEngine("host", environment=environment) as engine:
            system = engine.add(ParticleSystem(300, width=32, height=18))
            for _ in range(10):
                engine.update()
            count = int(engine.read(system.count))
            made.append(in_order(engine.read(system.particles)[:count]))
    assert made[0].tobytes() == made[1].tobytes() == made[2].tobytes()


def test_parts_of_a_particle_are_owed_to_later_frames(engine):
    system = engine.add(ParticleSystem(100, rate=25.0, lifetime=100.0, dt=0.1, width=32, height=18))
    counts = []
    for _ in range(8):
        engine.update(sync=True)
        counts.append(system.emitter.debug.append_counts["particles"])
    assert counts == [2, 5, 7, 10, 12, 15, 17, 20]


def test_one_time_step_for_all(engine):
    system = engine.add(ParticleSystem(100, rate=2400.0, width=32, height=18))
    assert [name for name in system.parameters if name.endswith("dt")] == ["dt"]
    engine.update()
    engine.update()
    before = engine.read(system.particles)[: int(engine.read(system.count))]
    system.dt.value = 0.0
    engine.update(sync=True)
    assert engine.rebuilds == 1
    assert "dt" in str(engine.explain())
    after = engine.read(system.particles)[: int(engine.read(system.count))]
    assert len(before) == 80
    assert in_order(before).tobytes() == in_order(after).tobytes()


def test_too_many_particles_are_counted_and_lost(engine):
    system = engine.add(ParticleSystem(100, rate=900.0, lifetime=50.0, dt=0.1, width=32, height=18))
    for _ in range(3):
        engine.update(sync=True)
    assert system.emitter.debug.append_counts["particles"] == 190  # 100 survivors and 90 new ones
    assert system.emitter.debug.append_overflow == {"particles": 90}
    assert system.emitter.debug.state == "warning"
    assert np.isfinite(engine.read(system.particles)["position"]).all()
    system.rate.value = 0.0
    engine.update(sync=True)
    assert system.emitter.debug.append_overflow == {}
    assert system.emitter.debug.state == "ok"
