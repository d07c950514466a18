"""Values change between frames without rebuilding anything: scalars, weights, arrays."""

import numpy as np

import cudagraph as cg
from cudagraph.blocks import Linear, Scale

with cg.CudaEngine() as engine:
    linear, scale = engine.add(Linear(3, 2, seed=0), Scale())
    engine.connect(linear.y, scale.x)
    engine.bind(linear.x, np.ones((16, 3), np.float32))
    scale.factor.on_change(lambda value: print("factor is now", value))

    engine.update()
    print(engine.explain())

    scale.factor.value = 100.0  # hot: one node is patched
    engine.update()
    print(engine.explain())

    linear.weight.value = np.eye(2, 3, dtype=np.float32)  # contents: one copy into the same memory
    linear.bias.value = np.zeros(2, np.float32)
    engine.update()
    print(engine.explain())

    linear.activation.value = "relu"  # recapture: that library call only
    engine.bind(linear.x, np.tile(np.float32([-1, 2, 0]), (16, 1)))  # another array of the same shape
    engine.update()
    print(engine.explain())

    print("y =", engine.read(scale.y)[0], "after", engine.rebuilds, "build")
