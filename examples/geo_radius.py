"""A slider for the radius of a running geo-sparse network: + and - (q ends) on a terminal, else it moves by itself."""

import time
from collections.abc import Iterator

import numpy as np

import cudagraph as cg
from cudagraph.blocks import GeoSparseNet
from cudagraph.cli.keyboard import interactive, pressed, single_keys

SIZE, K, MOST = 24, 8, 8


def moves() -> Iterator[int]:
    """What each frame adds to the radius."""
    if not interactive():
        yield from (1,) * (MOST - 1) + (-1,) * (MOST - 1)
        return
    with single_keys():
        while "q" not in (keys := pressed()):
            yield keys.count("+") - keys.count("-")
            time.sleep(0.02)


image = np.random.default_rng(0).standard_normal((SIZE, SIZE)).astype(np.float32)
net = GeoSparseNet(
    SIZE * SIZE, 1, shape=(SIZE, SIZE), depth=3, k=K, pattern="hash", grid=True, residual_alpha_init=1.0, seed=1
)
rows = np.arange(SIZE * SIZE)[:, None] // SIZE

with cg.CudaEngine() as engine:
    engine.add(net)
    engine.bind(net.x, image)
    for move in moves():
        radius = min(MOST, max(1, net.config.radius + move))
        if radius != net.config.radius:
            net.rewire(radius=radius)  # one copy into the table that the running graph reads
        engine.update(sync=True)
        if move:
            away = np.abs(net.table.value.reshape(-1, SIZE * SIZE, K) // SIZE - rows).max()
            print(f"radius {'#' * radius:<{MOST}} rows away: {away}   y = {engine.read(net.y)[0]:+.4f}")
    print(f"{engine.frame + 1} frames, {engine.rebuilds} build")
