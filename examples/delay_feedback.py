"""Feedback from frame to frame: a delay lets wires run in a circle, here x[t] = 0.5 * x[t-1] + input."""

import numpy as np

import cudagraph as cg
from cudagraph.blocks import Delay, VectorAdd

with cg.CudaEngine() as engine:
    mix, before = engine.add(VectorAdd(gain=0.5), Delay(np.zeros(3, np.float32)))
    engine.connect(mix.c, before.x)
    engine.connect(before.y, mix.b)  # last frame's result
    engine.bind(mix.a, np.array([1, 2, 4], np.float32))
    engine.keep(mix.c)  # it feeds only the delay, and we want to read it

    for frame in range(5):
        engine.update()
        print(f"frame {frame}: {engine.read(mix.c)}")

    mix.gain.value = 0.0  # forget the past
    engine.update()
    print("no memory:", engine.read(mix.c), "after", engine.rebuilds, "build")
