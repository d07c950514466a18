"""A kernel's source is edited while the graph runs, first with a mistake and then without."""

import tempfile
import time
from pathlib import Path

import numpy as np

import cudagraph as cg

SOURCE = """// y = x * x
extern "C" __global__ void shape(const float* x, float* y, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] * x[i];
}
"""


class Shape(cg.Block):
    """y = whatever the file says."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.y = b.output("y", self.x.shape)
            b.kernel(path, elements=self.y.size, x=self.x, y=self.y, n=self.y.size)


with tempfile.TemporaryDirectory() as folder, cg.CudaEngine(watch=True) as engine:
    path = Path(folder, "shape.cu")
    path.write_text(SOURCE)
    block = engine.add(Shape(path))
    engine.bind(block.x, np.arange(5, dtype=np.float32))
    engine.update()
    print("y = x * x         ", engine.read(block.y))

    path.write_text(SOURCE.replace("x[i] * x[i]", "x[i] * oops"))  # as an editor would save it
    time.sleep(0.25)  # files are looked at a few times a second
    engine.update()
    print("a mistake is saved", engine.read(block.y), "- the old kernel keeps running:", block.debug.state)
    print(next(line for line in block.debug.message.splitlines() if "oops" in line))

    path.write_text(SOURCE.replace("x[i] * x[i]", "x[i] + 100.0f"))
    time.sleep(0.25)
    engine.update()
    print("y = x + 100       ", engine.read(block.y), "- state:", block.debug.state)
    print("builds:", engine.rebuilds)
