"""Arrays from NumPy, torch and CuPy go in, and come out, without being copied where they already are on the device."""

import importlib.util

import numpy as np

import cudagraph as cg
from cudagraph.blocks import Scale

with cg.CudaEngine() as engine:
    scale = engine.add(Scale(3.0))

    frame = np.arange(4, dtype=np.float32)
    engine.bind(scale.x, frame, stream=True)  # the same array, read anew at each update: a camera's buffer, for example
    engine.update()
    frame += 10
    engine.update()
    print("numpy:", engine.read(scale.y))

    if importlib.util.find_spec("torch"):
        import torch

        device = "cuda" if engine.device.name == "cuda" else "cpu"
        tensor = torch.ones(4, device=device)
        engine.bind(scale.x, tensor)  # the tensor's own memory
        engine.update(sync=True)
        tensor += 1  # so this is seen without telling anybody
        engine.update(sync=True)
        print("torch:", torch.from_dlpack(scale.y))

    if engine.device.name == "cuda" and importlib.util.find_spec("cupy"):
        import cupy

        engine.bind(scale.x, cupy.full(4, 7, cupy.float32))
        engine.update(sync=True)
        print("cupy: ", engine.array(scale.y))

    print(engine.rebuilds, "build")
