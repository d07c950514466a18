"""Two blocks in one graph: c = a + b * gain, then y = c * factor."""

import numpy as np

import cudagraph as cg
from cudagraph.blocks import Scale, VectorAdd

with cg.CudaEngine() as engine:  # a GPU where there is one, else the CPU
    add, scale = engine.add(VectorAdd(gain=2.0), Scale(factor=10.0))
    engine.connect(add.c, scale.x)
    engine.bind(add.a, np.arange(5, dtype=np.float32))
    engine.bind(add.b, np.ones(5, np.float32))

    engine.update()  # compiles both kernels into one graph, then runs one frame
    print("y =", engine.read(scale.y))
    print("on", engine.device.name, "with", engine.rebuilds, "build")
