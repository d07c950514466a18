"""`cudnn.attention` as a graph: cuDNN's attention, with mask and diagonal bands as changes to its scores."""

from __future__ import annotations

from collections.abc import Mapping

from ...libraries.attention import AttentionShape, attention_shape
from .cudnn import CudnnOperation, Described
from .cudnn_graph import Graph, Tensor, data_type
from .cudnn_library import CudnnLibrary
from .cudnn_names import Data, Pointwise
from .libraries import Operands, Options


class Attention(CudnnOperation):
    """`y = softmax(scale * q k^T + mask) v`, scores never in memory; the scale is read on the device at each frame."""

    name = "cudnn.attention"
    oldest = 92100  # the first whose attention takes masks: earlier ones want the graph that newer ones refuse

    def shape(self, operands: Operands, options: Options) -> AttentionShape:
        """The attention, checked."""
        return attention_shape(operands, options)

    def addresses(self, operands: Operands, shape: AttentionShape) -> dict[str, int]:
        """Where the first elements lie."""
        found = {name: operand.address for name, operand in operands.items()}
        for name in "qkvy":
            found[name] += getattr(shape, name).start * shape.dtype.itemsize
        return found

    def describe(self, library: CudnnLibrary, shape: AttentionShape, alignment: Mapping[str, int]) -> Described:
        """The graph of it."""
        return attention_graph(library, shape, alignment)


def attention_graph(library: CudnnLibrary, shape: AttentionShape, alignment: Mapping[str, int]) -> Described:
    """One operation; what is done to the scores is a graph inside of it."""
    graph, data = Graph(library), data_type(shape.dtype)
    places = {name: getattr(shape, name) for name in "qkvy"}
    tensors = {n: graph.tensor(p.shape, data, p.strides, align=alignment[n]) for n, p in places.items()}
    tensors["scale"] = graph.tensor((1, 1, 1, 1), Data.FLOAT, align=alignment["scale"])
    if shape.mask is not None:
        tensors["mask"] = graph.tensor(shape.mask, data, align=alignment["mask"])

    def modify(scores: Tensor) -> Tensor:
        if "mask" in tensors:
            scores = graph.pointwise(Pointwise.ADD, scores, tensors["mask"], graph.virtual(scores.shape))
        return _banded(graph, scores, shape)

    q, k, v, y = (tensors[name] for name in "qkvy")
    graph.attention(q, k, v, y, tensors["scale"], modify)
    return Described(graph, tensors, exact=False)


def _banded(graph: Graph, scores: Tensor, shape: AttentionShape) -> Tensor:
    """Only keys j of query i with i + offset - window < j, and j <= i + offset or j < i + offset + window."""
    if shape.causal or shape.window:
        last = shape.offset != 0
        scores = graph.band(
            scores,
            Pointwise.CMP_GE,
            SEQ_LEN_KVDESC=graph.constant(shape.k.shape[2], Data.INT32) if last else None,
            SEQ_LEN_QDESC=graph.constant(shape.q.shape[2], Data.INT32) if last else None,
            SHIFT_RIGHT_BOUND_DESC=None if shape.causal else graph.constant(shape.window - 1, Data.INT32),
        )
    if shape.window:
        scores = graph.band(scores, Pointwise.CMP_GT, LEFT_BOUND_DESC=graph.constant(shape.window - shape.offset))
    return scores
