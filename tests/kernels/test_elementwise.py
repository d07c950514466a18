"""`elementwise.cuh`: vectors where arrays are aligned, one element at a time where they are not."""

from __future__ import annotations

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import VectorAdd
from cudagraph.dtypes import parse_dtype


class Tail(cg.Block):
    """The elements from `offset` on, where they are."""

    def __init__(self, offset: int, dtype: str) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", ("n",), dtype)
            self.y = b.view(self.x, (self.x.size - offset,), offset=offset)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("offset", [1, 2, 3, 4, 8])
def test_arrays_may_begin_anywhere(offset, dtype):
    kind = parse_dtype(dtype)
    with cg.CudaEngine("host") as engine:
        tail, add = engine.add(Tail(offset, dtype), VectorAdd(2.0))
        engine.connect(tail.y, add.a)
        for size in (1, 4, 5, 63, 1024):
            x, b = np.arange(size + offset).astype(kind), np.ones(size, kind)
            engine.bind(tail.x, x)
            engine.bind(add.b, b)
            engine.update()
            np.testing.assert_array_equal(engine.read(add.c), x[offset:] + 2 * b)
