"""Particles. Sizes are capacities; buffers are partly filled."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import Case, Misuse, compare_values

import cudagraph as cg
from cudagraph.blocks import PARTICLE, Drag, Gravity, Integrate, SphereEmitter, Splat, ToneMap

CAPACITY = 300


def cloud(random: np.random.Generator, size: int) -> np.ndarray:
    particles = np.zeros(size, PARTICLE)
    particles["position"] = random.normal(1.0, 1.5, (size, 3))
    particles["velocity"] = random.normal(0.0, 2.0, (size, 3))
    particles["lifetime"] = random.uniform(1.0, 4.0, size)
    particles["age"] = random.uniform(0.0, 5.0, size)
    return particles


def filled(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    """Two thirds of the buffer; once, a counter that says more than fits."""
    count = size + 5 if size == 63 else 1 + 2 * size // 3
    return {"particles": cloud(random, size), "count": np.uint32(count)}


def last_frame(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"previous": cloud(random, CAPACITY), "previous_count": np.uint32(min(size, CAPACITY))}


def light(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"light": random.exponential(1.0, (size, 2, 3)).astype(dtype)}


def compare_particles(block: cg.Block, given: tuple[Any, ...], expected: tuple[Any, ...], tolerance: float) -> None:
    for name in PARTICLE.names or ():
        compare_values(block, (given[0][name],), (expected[0][name],), tolerance)


def compare_appended(block: cg.Block, given: tuple[Any, ...], expected: tuple[Any, ...], tolerance: float) -> None:
    """The order of appended particles is not defined, so both sides are sorted."""
    particles, count, clock = given
    wanted, number, after = expected
    assert count == number
    assert clock["frame"] == after["frame"]
    assert abs(clock["carry"] - after["carry"]) < 1e-4
    assert (particles[len(wanted) :].view(np.uint8) == 0xFF).all(), "written beyond the last particle"
    compare_particles(block, (in_order(particles[: len(wanted)]),), (in_order(wanted),), tolerance)


def in_order(particles: np.ndarray) -> np.ndarray:
    return particles[np.argsort(particles["lifetime"], kind="stable")]


def bind_wrong_dtype(engine: cg.CudaEngine) -> None:
    gravity = engine.add(Gravity())
    engine.bind(gravity.particles, np.zeros((5, 8), np.float32))
    engine.bind(gravity.count, np.uint32(1))
    engine.update()


CASES = [
    Case(
        lambda dtype: Gravity(3.0, (0.5, -1.0, 0.25), dt=0.1),
        filled,
        hot={"strength": -2.0, "direction": (1.0, 0.0, 0.0), "dt": 0.5},
        compare=compare_particles,
        misuses=(
            Misuse(bind_wrong_dtype, cg.DescriptionError, r"record\(.*\); the array bound to it is float32"),
            Misuse(lambda engine: Gravity(direction=(0.0, 1.0)), cg.DescriptionError, "float3"),
            Misuse(lambda engine: Gravity(dt=-1.0), cg.DescriptionError, "out of range: 0.0 to 1.0"),
        ),
    ),
    Case(
        lambda dtype: Drag(0.7, dt=0.1),
        filled,
        hot={"coefficient": 0.0, "dt": 0.5},
        compare=compare_particles,
        misuses=(Misuse(lambda engine: Drag(-1.0), cg.DescriptionError, "out of range"),),
    ),
    Case(
        lambda dtype: Integrate(0.5, dt=0.1),
        filled,
        hot={"bounce": 0.25, "dt": 0.5},
        compare=compare_particles,
        misuses=(Misuse(lambda engine: Integrate(2.0), cg.DescriptionError, "out of range"),),
    ),
    Case(
        lambda dtype: SphereEmitter(CAPACITY, rate=1234.0, seed=7, dt=0.1),
        last_frame,
        sizes=(1, 3, 63, 170, 300),
        hot={"seed": 8, "center": (1.0, 2.0, 3.0), "speed": 1.0, "lifetime": 2.0, "radius": 0.0},
        extra={"clock": np.zeros(1, [("frame", "u4"), ("carry", "f4")])},
        outputs=("particles", "particles_count", "clock"),
        compare=compare_appended,
        any_order=True,
        misuses=(Misuse(lambda engine: SphereEmitter(0), cg.DescriptionError, "at least 1"),),
    ),
    Case(
        lambda dtype: Splat(40, 30, brightness=0.5, distance=2.5),
        filled,
        hot={"brightness": 1.0, "distance": 5.0, "eye_height": 0.0, "zoom": 2.0},
        tolerances={"float32": 1e-5},
        any_order=True,
    ),
    Case(lambda dtype: ToneMap(2.0), light, hot={"exposure": 0.25}),
]
