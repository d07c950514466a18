"""Blocks in a row, then one of them exchanged while the others keep what they know."""

import numpy as np

import cudagraph as cg
from cudagraph.blocks import Linear, ReLU, Scale, Sequential, Softmax

with cg.CudaEngine() as engine:
    network = engine.add(Sequential(Linear(4, 8, seed=1), ReLU(), Linear(8, 3, seed=2)))
    last = engine.add(Softmax())
    engine.connect(network.y, last.x)
    engine.bind(network.x, np.ones((2, 4), np.float32))
    engine.update()
    print("softmax:", engine.read(last.y)[0])

    engine.remove(last)
    last = engine.add(Scale(10.0))
    engine.connect(network.y, last.x)
    engine.update()  # one new plan; the kernels and weights of the network stay as they are
    print("scaled: ", engine.read(last.y)[0])
    print(engine.explain())

    engine.bind(network.x, np.ones((500, 4), np.float32))  # another batch size needs no new block
    engine.update()
    print("batch of", engine.read(last.y).shape[0])
    print("weights:", ", ".join(f"{name} {array.shape}" for name, array in network.state_dict().items()))
