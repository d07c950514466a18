"""One output feeds two blocks, a third joins them; the two in between have no order, so a GPU runs them together."""

import numpy as np

import cudagraph as cg
from cudagraph.blocks import Scale, VectorAdd


class Split(cg.Block):
    """low = the first half of x, high = the second; views, so nothing is copied."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", ("n",))
            half = self.x.size // 2
            self.low = b.view(self.x, (half,), name="low")
            self.high = b.view(self.x, (half,), offset=half, name="high")


with cg.CudaEngine() as engine:
    split, left, right, merge = engine.add(Split(), Scale(2.0), Scale(-1.0), VectorAdd())
    engine.connect(split.low, left.x)
    engine.connect(split.high, right.x)
    engine.connect(left.y, merge.a)
    engine.connect(right.y, merge.b)
    engine.bind(split.x, np.arange(8, dtype=np.float32))
    engine.update()
    print("c =", engine.read(merge.c))
    print(engine.plan)
