"""Blocks inside blocks inside blocks. Names are paths; ports and parameters of the inside can be shown outside."""

import numpy as np

import cudagraph as cg
from cudagraph.blocks import Add, Scale


class Blend(cg.Block):
    """y = a * (1 - mix) + b * mix, from library blocks."""

    def __init__(self, mix: float = 0.5) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.left = b.child(Scale(1 - mix))
            self.right = b.child(Scale(mix))
            self.a = b.expose(self.left.x, "a")
            self.b = b.expose(self.right.x, "b")
            self.y = b.expose(b.apply(add := Add(), self.left.y, self.right.y), "y")
            self.add = add


class Crossfade(cg.Block):
    """Two blends in a row, steered by one parameter."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.first, self.second = b.child(Blend()), b.child(Blend())
            for destination in (self.first.a, self.first.b, self.second.a):  # fan-out
                b.connect(self.x, destination)
            b.connect(self.first.y, self.second.b)
            self.amount = b.expose(self.second.right.factor, "amount")
            self.y = b.expose(self.second.y, "y")


with cg.CudaEngine() as engine:
    fade = engine.add(Crossfade())
    engine.bind(fade.x, np.ones(4, np.float32))
    engine.update()
    print("parameters:", ", ".join(fade.parameters))
    print("y =", engine.read(fade.y))
    fade.amount.value = 2.0  # the same as fade.second.right.factor
    engine.update()
    print("y =", engine.read(fade.y), "after", engine.rebuilds, "build")
    print(cg.render(fade))
