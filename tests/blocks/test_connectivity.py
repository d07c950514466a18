"""Neighbours on a grid: golden tables, the rules against plain loops, psann's own generator, errors and speed."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks.sparse.connectivity import GeoConnectivity, edge_list

CROSS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
GOLDEN = [  # of a 3 x 3 grid with radius 1: arguments, output, its inputs
    ({"k": 9}, 0, [0, 0, 1, 0, 0, 1, 3, 3, 4]),
    ({"k": 9}, 4, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ({"k": 9}, 8, [4, 5, 5, 7, 8, 8, 7, 8, 8]),
    ({"k": 9, "wrap_mode": "wrap"}, 0, [8, 6, 7, 2, 0, 1, 5, 3, 4]),
    ({"k": 9, "wrap_mode": "wrap"}, 5, [1, 2, 0, 4, 5, 3, 7, 8, 6]),
    ({"k": 4}, 4, [0, 1, 2, 3]),
    ({"k": 8}, 4, [0, 1, 2, 3, 4, 5, 6, 7]),
    ({"k": 8, "include_self": False}, 4, [0, 1, 2, 3, 5, 6, 7, 8]),
    ({"k": 12}, 4, [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2]),
    ({"k": 5, "offsets": CROSS}, 0, [0, 0, 3, 0, 1]),
    ({"k": 5, "offsets": CROSS, "wrap_mode": "wrap"}, 0, [0, 6, 3, 2, 1]),
]


def quiet(*arguments: Any, **settings: Any) -> GeoConnectivity:
    """A connectivity that may warn of repeated neighbours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GeoConnectivity(*arguments, **settings)


def candidates(connectivity: GeoConnectivity, output: int) -> list[int]:
    """An output's candidates, by the rule as it is written."""
    height, width = connectivity.shape
    rows, columns = connectivity.out_shape or connectivity.shape
    row, column = divmod(output, columns)
    row, column = (2 * row + 1) * height // (2 * rows), (2 * column + 1) * width // (2 * columns)
    found = []
    for down, right in connectivity.window.tolist():
        r, c = row + down, column + right
        if connectivity.wrap_mode == "wrap":
            found.append(r % height * width + c % width)
        else:
            found.append(min(max(r, 0), height - 1) * width + min(max(c, 0), width - 1))
    return found


@pytest.mark.parametrize(("settings", "output", "expected"), GOLDEN)
def test_golden_tables(settings, output, expected):
    assert quiet((3, 3), **settings).table[output].tolist() == expected


@pytest.mark.parametrize("wrap_mode", ["clamp", "wrap"])
@pytest.mark.parametrize(("include_self", "radius"), [(True, 0), (True, 1), (True, 2), (False, 1), (False, 2)])
@pytest.mark.parametrize("out_shape", [None, (3, 9), (8, 2)])
def test_local_is_the_first_candidates(wrap_mode, include_self, radius, out_shape):
    for k in (1, 5, 30):
        made = quiet((4, 5), k, radius=radius, wrap_mode=wrap_mode, include_self=include_self, out_shape=out_shape)
        for output, given in enumerate(made.table.tolist()):
            wanted = candidates(made, output)
            assert given == [wanted[j % len(wanted)] for j in range(k)]


@pytest.mark.parametrize("pattern", ["random", "hash"])
def test_draws_are_candidates_and_all_of_them_are_drawn(pattern):
    made = GeoConnectivity((20, 30), 9, pattern=pattern, seed=5)
    assert all(set(row) <= set(candidates(made, output)) for output, row in enumerate(made.table.tolist()))
    inner = made.table.reshape(20, 30, 9)[1:-1, 1:-1] - np.arange(600).reshape(20, 30)[1:-1, 1:-1, None]
    counts = np.unique(inner, return_counts=True)[1]
    assert len(counts) == 9
    assert np.abs(counts / counts.mean() - 1).max() < 0.15  # 504 draws of each are expected: 3.4 deviations


@pytest.mark.parametrize("pattern", ["local", "random", "hash"])
@pytest.mark.parametrize(("shape", "wrap_mode"), [((7, 9), "clamp"), ((7, 9), "wrap"), ((3, 3), "wrap")])
def test_without_repeats_neighbours_differ(pattern, shape, wrap_mode):
    made = GeoConnectivity(shape, 4, pattern=pattern, wrap_mode=wrap_mode, allow_repeats=False, radius=2)
    for output, row in enumerate(made.table.tolist()):
        allowed = list(dict.fromkeys(candidates(made, output)))
        assert len(set(row)) == 4
        assert row == allowed[:4] if pattern == "local" else set(row) <= set(allowed)


def test_seeds():
    def table(pattern, seed, shape=(9, 9)):
        return GeoConnectivity(shape, 6, pattern=pattern, seed=seed).table

    for pattern in ("random", "hash"):
        assert np.array_equal(table(pattern, 3), table(pattern, 3))
        assert not np.array_equal(table(pattern, 3), table(pattern, 4))
    assert np.array_equal(table("local", 3), table("local", 4))
    inside = np.s_[1:5, 1:8]  # of two grids that differ in height: a hash sees the output's number alone
    tall, flat = table("hash", 3, (12, 9)).reshape(12, 9, 6), table("hash", 3).reshape(9, 9, 6)
    assert np.array_equal(tall[inside], flat[inside])
    assert not np.array_equal(table("random", None), table("random", None))


def test_edges():
    sources, targets = quiet((2, 2), 3).edges()
    assert sources.tolist() == quiet((2, 2), 3).table.reshape(-1).tolist()
    assert targets.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    with pytest.raises(cg.DescriptionError, match=r"the shape \[outputs, k\], not \[3\]"):
        edge_list(np.zeros(3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": 3}, r"shape is a pair \(rows, columns\) of positive ints, not 3"),
        ({"shape": (3, 0)}, "shape is a pair"),
        ({"out_shape": (3,)}, "out_shape is a pair"),
        ({"k": 0}, "k is an int of at least 1, not 0"),
        ({"radius": -1}, "radius is an int of at least 0, not -1"),
        ({"pattern": "ring"}, "pattern cannot be 'ring'; choose one of local, random, hash"),
        ({"wrap_mode": "mirror"}, "wrap_mode cannot be 'mirror'; choose one of clamp, wrap"),
        ({"offsets": ()}, "needs at least one offset"),
        ({"offsets": ((0, 0),), "include_self": False}, "needs at least one offset"),
        ({"offsets": ((0, 1, 2),)}, r"an offset is a pair \(row, column\) of ints, not \(0, 1, 2\)"),
    ],
)
def test_what_cannot_be_is_explained(settings, message):
    with pytest.raises(cg.DescriptionError, match=message):
        GeoConnectivity(**{"shape": (3, 3)} | settings)


def test_too_few_distinct_candidates():
    message = "output 0 has only 4 distinct candidates; radius=2 would serve"
    with pytest.raises(cg.DescriptionError, match=message):
        _ = GeoConnectivity((3, 3), 5, allow_repeats=False).table
    with pytest.warns(UserWarning, match="k=16 exceeds the 9 distinct candidates of a cell.*radius=2 would serve"):
        GeoConnectivity((9, 9), 16)
    with pytest.warns(UserWarning, match="give at least 6 different offsets"):
        GeoConnectivity((9, 9), 6, offsets=CROSS)


@pytest.mark.parametrize("settings", [{}, {"pattern": "random"}, {"pattern": "hash"}])
def test_a_million_outputs_take_about_a_second(settings):
    made = GeoConnectivity((1024, 1024), 32, radius=3, **settings)
    begin = time.perf_counter()
    assert made.table.shape == (1 << 20, 32)
    assert time.perf_counter() - begin < 5  # under one on an idle machine; no loop over outputs comes near


def test_psann_makes_the_same_tables():
    theirs: Any = pytest.importorskip("psann.layers.geo_sparse")
    for shape in ((3, 3), (4, 7)):
        for settings in (
            {"k": 4},
            {"k": 25, "radius": 2},
            {"k": 8, "wrap_mode": "wrap", "include_self": False},
            {"k": 7, "offsets": CROSS},
            {"k": 4, "allow_repeats": False, "radius": 2},
        ):
            expected = theirs.build_geo_connectivity(shape, pattern="local", **settings).numpy()
            assert np.array_equal(quiet(shape, **settings).table, expected), settings
