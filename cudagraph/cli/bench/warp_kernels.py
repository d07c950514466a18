"""What is measured in NVIDIA Warp, as its users write it: kernels, and graphs of them on a GPU."""

# Warp reads the annotations of kernels as they are, so they must not become strings.
# pyright: reportInvalidTypeForm=false

from collections.abc import Callable
from itertools import cycle, pairwise
from typing import Any

import numpy as np
import warp as wp

from .fountain import Settings, State


@wp.func
def _append(
    position: wp.array(dtype=wp.vec3),
    velocity: wp.array(dtype=wp.vec3),
    life: wp.array(dtype=wp.vec2),
    count: wp.array(dtype=wp.int32),
    at: wp.vec3,
    speed: wp.vec3,
    times: wp.vec2,
    values: wp.vec4,
):
    slot = wp.atomic_add(count, 0, 1)
    if slot < position.shape[0]:
        dt = values[2]
        v = (speed - wp.vec3(0.0, values[0] * dt, 0.0)) * wp.exp(-values[1] * dt)
        p = at + v * dt
        if p[1] < 0.0:
            p = wp.vec3(p[0], -values[3] * p[1], p[2])
            v = wp.vec3(v[0], -values[3] * v[1], v[2])
        position[slot] = p
        velocity[slot] = v
        life[slot] = wp.vec2(times[0] + dt, times[1])


@wp.kernel
def _advance(
    position: wp.array(dtype=wp.vec3),
    velocity: wp.array(dtype=wp.vec3),
    life: wp.array(dtype=wp.vec2),
    count: wp.array(dtype=wp.int32),
    new_position: wp.array(dtype=wp.vec3),
    new_velocity: wp.array(dtype=wp.vec3),
    new_life: wp.array(dtype=wp.vec2),
    new_count: wp.array(dtype=wp.int32),
    frame: wp.array(dtype=wp.int32),
    values: wp.vec4,
    emission: wp.vec4,
):
    i = wp.tid()
    if i < wp.min(count[0], position.shape[0]):  # noqa: SIM102  (both sides of an `and` are computed)
        if life[i][0] < life[i][1]:
            _append(new_position, new_velocity, new_life, new_count, position[i], velocity[i], life[i], values)
    if float(i) < emission[0] * values[2]:
        state = wp.rand_init(frame[0], i)
        out = wp.sample_unit_sphere_surface(state)
        pace = emission[2] * (0.5 + 0.5 * wp.randf(state))
        start = wp.vec3(0.0, 1.5, 0.0) + emission[3] * out
        until = emission[1] * (0.75 + 0.25 * wp.randf(state))
        _append(new_position, new_velocity, new_life, new_count, start, pace * out, wp.vec2(0.0, until), values)


@wp.kernel
def _splat(
    position: wp.array(dtype=wp.vec3),
    life: wp.array(dtype=wp.vec2),
    count: wp.array(dtype=wp.int32),
    image: wp.array2d(dtype=wp.vec3),
    camera: wp.vec3,
):
    i = wp.tid()
    if i < wp.min(count[0], position.shape[0]):
        p = position[i]
        depth = camera[1] - p[2]
        if depth >= 0.1:
            scale = float(image.shape[0]) / depth
            column = int(wp.floor(0.5 * float(image.shape[1]) + scale * p[0]))
            row = int(wp.floor(0.5 * float(image.shape[0]) - scale * (p[1] - camera[2])))
            if column >= 0 and column < image.shape[1] and row >= 0 and row < image.shape[0]:
                old = wp.min(life[i][0] / life[i][1], 1.0)
                light = camera[0] * (1.0 - old * old)
                wp.atomic_add(image, row, column, light * wp.vec3(1.0 - 0.8 * old, 0.5 - 0.4 * old, 0.15 + 0.85 * old))


@wp.kernel
def _tone_map(image: wp.array2d(dtype=wp.vec3), picture: wp.array3d(dtype=wp.uint8), frame: wp.array(dtype=wp.int32)):
    row, column = wp.tid()
    if row == 0 and column == 0:
        frame[0] = frame[0] + 1
    for channel in range(3):
        v = image[row, column][channel]
        picture[row, column, channel] = wp.uint8(wp.rint(255.0 * wp.sqrt(v / (1.0 + v))))


def frames(state: State, settings: Settings, place: str, *, captured: bool) -> Callable[[], object]:
    """One frame per call: two buffers take turns, each with its own graph when `captured`."""
    buffers = [_buffer(state, settings, place) for _ in range(2)]
    image = wp.zeros((settings.height, settings.width), dtype=wp.vec3, device=place)
    picture = wp.zeros((settings.height, settings.width, 3), dtype=wp.uint8, device=place)
    frame = wp.zeros(1, dtype=wp.int32, device=place)
    values = wp.vec4(settings.gravity, settings.drag, settings.dt, settings.bounce)
    emission = wp.vec4(settings.rate, settings.lifetime, settings.speed, settings.radius)
    camera = wp.vec3(settings.brightness, settings.distance, settings.eye_height)

    def launch(turn: int) -> None:
        old, new = buffers[turn], buffers[1 - turn]
        new[3].zero_()
        image.zero_()
        wp.launch(_advance, settings.capacity, inputs=[*old, *new, frame, values, emission], device=place)
        wp.launch(_splat, settings.capacity, inputs=[new[0], new[2], new[3], image, camera], device=place)
        wp.launch(_tone_map, image.shape, inputs=[image, picture, frame], device=place)

    for turn in (0, 1):
        launch(turn)  # compiles
    if not captured:
        turns = cycle((0, 1))
        return lambda: launch(next(turns))
    graphs = cycle([_graph(launch, turn, place) for turn in (0, 1)])
    return lambda: wp.capture_launch(next(graphs))


def _graph(launch: Callable[[int], None], turn: int, place: str) -> Any:
    with wp.ScopedDevice(place), wp.ScopedCapture() as captured:
        launch(turn)
    return captured.graph


def _buffer(state: State, settings: Settings, place: str) -> tuple[Any, Any, Any, Any]:
    """Room for all particles; the first ones are there."""
    count = len(state.age)
    position, velocity = np.zeros((2, settings.capacity, 3), np.float32)
    life = np.zeros((settings.capacity, 2), np.float32)
    position[:count], velocity[:count] = state.position, state.velocity
    life[:count] = np.stack([state.age, state.lifetime], 1)
    return (
        wp.array(position, dtype=wp.vec3, device=place),
        wp.array(velocity, dtype=wp.vec3, device=place),
        wp.array(life, dtype=wp.vec2, device=place),
        wp.array(np.array([count], np.int32), device=place),
    )


@wp.kernel
def _scale(x: wp.array(dtype=float), factor: float, y: wp.array(dtype=float)):
    i = wp.tid()
    y[i] = factor * x[i]


def scale_chain(arrays: list[Any]) -> None:
    """y = 1 * x from each array to the next one."""
    for x, y in pairwise(arrays):
        wp.launch(_scale, x.shape[0], inputs=[x, 1.0, y], device=x.device)


def chain_graph(length: int, elements: int, place: str) -> Callable[[], object]:
    """A chain of products as one graph."""
    arrays = [wp.array(np.ones(elements, np.float32), dtype=float, device=place) for _ in range(length + 1)]
    scale_chain(arrays)  # compiles
    with wp.ScopedDevice(place), wp.ScopedCapture() as captured:
        scale_chain(arrays)
    return lambda: (wp.capture_launch(captured.graph), arrays)
