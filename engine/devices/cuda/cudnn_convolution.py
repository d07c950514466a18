"""`cudnn.convolution` as a graph: the convolution, then the residual, the bias and the activation in its epilogue."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...libraries.convolution import ConvolutionShape, convolution_shape
from .cudnn import CudnnOperation, Described
from .cudnn_graph import Graph, data_type
from .cudnn_library import CudnnLibrary
from .cudnn_names import Data, Pointwise
from .libraries import LibraryContext, Operands, Options


class Convolution(CudnnOperation):
    """`y = activation(weight * x + bias + residual)`, sums in float32 (float64 for float64), no TF32 unless asked for.

    The engines that add or activate also add a bias; where there is none they are given zeros.
    """

    name = "cudnn.convolution"

    def __init__(self, context: LibraryContext) -> None:
        super().__init__(context)
        self._zeros: dict[int, int] = {}  # bytes -> address

    def shape(self, operands: Operands, options: Options) -> ConvolutionShape:
        """The convolution, checked."""
        return convolution_shape(operands, options)

    def addresses(self, operands: Operands, shape: ConvolutionShape) -> dict[str, int]:
        """The operands, and zeros for a bias that is not there."""
        found = {name: operand.address for name, operand in operands.items()}
        if has_epilogue(shape) and not shape.has_bias:
            found["bias"] = self._zero_bias(shape.weight[0] * shape.dtype.itemsize)
        return found

    def _zero_bias(self, nbytes: int) -> int:
        if nbytes not in self._zeros:
            self._zeros[nbytes] = self._context.memory.allocate(nbytes)
            self._context.memory.fill(self._zeros[nbytes], nbytes, 0)
        return self._zeros[nbytes]

    def describe(self, library: CudnnLibrary, shape: ConvolutionShape, alignment: Mapping[str, int]) -> Described:
        """The graph of it."""
        return convolution_graph(library, shape, alignment)

    def close(self) -> None:
        """Give back plans, workspaces and zeros."""
        super().close()
        for address in self._zeros.values():
            self._context.memory.free(address)
        self._zeros.clear()


def has_epilogue(shape: ConvolutionShape) -> bool:
    """Whether anything happens to the sums."""
    return shape.has_bias or shape.has_residual or shape.activation != "none"


def convolution_graph(library: CudnnLibrary, shape: ConvolutionShape, alignment: Mapping[str, int]) -> Described:
    """The convolution in the order of operations that cuDNN's fused engines know."""
    data = data_type(shape.dtype)
    graph = Graph(library, Data.DOUBLE if data == Data.DOUBLE else Data.FLOAT)
    channels = (1, shape.weight[0], *(1,) * len(shape.stride))
    lengths = {"x": shape.x, "weight": shape.weight, "bias": channels, "residual": shape.y, "y": shape.y}
    tensors = {name: graph.tensor(_planar(lengths[name], 1), data, align=alignment[name]) for name in alignment}
    steps = [Pointwise.ADD] * (shape.has_residual + has_epilogue(shape))
    others = [tensors[name] for name in ("residual", "bias") if name in tensors]
    if shape.activation == "relu":
        steps.append(Pointwise.RELU_FWD)
    plane = tensors["y"].shape
    result = graph.virtual(plane) if steps else tensors["y"]
    graph.convolution(
        tensors["x"], tensors["weight"], result,
        before=_planar(shape.before, 0, 0), after=_planar(shape.after, 0, 0),
        stride=_planar(shape.stride, 1, 0), dilation=_planar(shape.dilation, 1, 0),
    )  # fmt: skip
    for number, mode in enumerate(steps):
        y = tensors["y"] if number == len(steps) - 1 else graph.virtual(plane)
        other = others[number] if mode == Pointwise.ADD else None
        result = graph.pointwise(mode, result, other, y)
    return Described(graph, tensors, exact=shape.dtype == np.float32 and not shape.tf32)


def _planar(lengths: tuple[int, ...], fill: int, lead: int = 2) -> tuple[int, ...]:
    """One-dimensional things as planes of one row: cuDNN begins with two dimensions."""
    return lengths if len(lengths) - lead > 1 else (*lengths[:lead], fill, *lengths[lead:])
