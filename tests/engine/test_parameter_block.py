"""The layout of the parameter block: places never overlap, and hold the first values."""

from __future__ import annotations

import numpy as np
from described import describe
from hypothesis import given
from hypothesis import strategies as st

from cudagraph.dtypes import pack_scalar
from cudagraph.engine.parameter_block import ParameterBlock
from cudagraph.engine.plan import Place

TYPES = [
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "int8",
    "uint16",
    "int64",
    "bool",
    "float2",
    "float3",
    "float4",
    "double2",
    "double4",
]


def parameters(types):
    def say(block, b):
        for i, dtype in enumerate(types):
            width = int(dtype[-1]) if dtype[-1] in "234" and dtype[-2].isalpha() else 1
            b.parameter(f"p{i}", 1 if width == 1 else tuple(range(1, width + 1)), dtype)

    return describe(say)


@given(
    st.lists(st.sampled_from(TYPES), max_size=8), st.lists(st.sampled_from([0.0, 1.0, 2.5]), max_size=4), st.randoms()
)
def test_places_are_aligned_apart_and_filled(types, literals, random):
    block = parameters(types)
    layout, buffers, paths = ParameterBlock(), [], {block: "path"}
    asked = [*block.parameters.values(), *literals] * 2
    random.shuffle(asked)
    kind = np.dtype(np.float32)
    indices = {}
    for item in asked:
        index = layout.scalar(item, kind, "literal", buffers, paths)
        assert indices.setdefault(item, index) == index  # asked twice, placed once
    root = layout.buffer(buffers)
    image = layout.image()
    if not asked:
        assert root is None
        assert image == b""
        return
    assert buffers[root].shape == (len(image),)
    assert buffers[root].dtype == np.uint8
    views = sorted((buffers[index] for index in set(indices.values())), key=lambda view: view.offset)
    assert len(views) == len(indices)
    for view, following in zip(views, [*views[1:], None], strict=True):
        assert (view.base, view.place) == (root, Place.PARAMETERS)
        assert view.offset % 16 == 0
        assert view.offset + view.nbytes <= (following.offset if following else len(image))
    for item, index in indices.items():
        view = buffers[index]
        wanted = pack_scalar(item, kind) if isinstance(item, float) else item.pack()
        assert image[view.offset : view.offset + view.nbytes] == wanted


def test_names_and_shapes():
    block = parameters(["float3", "int32"])
    layout, buffers = ParameterBlock(), []
    for parameter in block.parameters.values():
        layout.view(parameter, buffers, {block: "a/b"})
    assert [(buffer.name, buffer.shape) for buffer in buffers] == [
        ("parameters", (0,)),
        ("a/b.p0", (3,)),
        ("a/b.p1", ()),
    ]
    assert layout.offsets == {block.parameters["p0"]: 0, block.parameters["p1"]: 16}


def test_a_literal_of_another_type_has_a_place_of_its_own():
    layout, buffers = ParameterBlock(), []
    places = {layout.scalar(1.0, np.dtype(kind), "x", buffers, {}) for kind in ("f4", "f8", "f4")}
    assert len(places) == 2
