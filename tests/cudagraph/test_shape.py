"""Shapes: what may be written, how names are found, what expressions give, and what contradictions say."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest
from described import describe, kernel
from hypothesis import given
from hypothesis import strategies as st

import cudagraph as cg
from cudagraph.errors import DescriptionError, ShapeError
from cudagraph.shape import Dim, Shape, Size, Unresolved, check_shape, evaluate, evaluate_size, show_shape, unify


class Known:
    """Unknowns that are known."""

    def __init__(self, shapes=None, **dims):
        self.shapes, self.dims = shapes or {}, dims

    def dim(self, name):
        if name not in self.dims:
            raise Unresolved(name)
        return self.dims[name]

    def shape(self, port):
        if port not in self.shapes:
            raise Unresolved(port.name)
        return self.shapes[port]


class Fake:
    """Something that expressions can ask for its shape."""

    name = "x"

    def __str__(self):
        return "block.x"


def shape(*spec):
    return Shape(spec, Fake())


sizes = st.lists(st.integers(0, 7), max_size=4).map(tuple)


@given(sizes, sizes, sizes)
def test_unify_finds_what_evaluate_gives_back(front, leading, back):
    """A written shape and a concrete one that fits it: all names are learned, and lead to the same shape."""
    spec = (*(f"f{i}" for i in range(len(front))), ..., *(f"b{i}" for i in range(len(back))))
    unknowns = {}
    concrete = front + leading + back
    assert unify(spec, concrete, unknowns) is None
    assert unknowns["..."] == leading
    assert evaluate(spec, unknowns, Known(**{k: v for k, v in unknowns.items() if k != "..."})) == concrete


@given(st.lists(st.sampled_from(["a", "b", 2, 3]), max_size=4).map(tuple), sizes)
def test_unify_agrees_with_a_search_over_all_values(spec, concrete):
    unknowns = {}
    problem = unify(spec, concrete, unknowns)
    fits = any(tuple({"a": a, "b": b}.get(item, item) for item in spec) == concrete for a in range(8) for b in range(8))
    assert (problem is None) == fits


@pytest.mark.parametrize(
    ("spec", "concrete", "known", "problem"),
    [
        ((2,), (3,), {}, "3 is not 2"),
        (("n",), (3,), {"n": 4}, "n is already 4, not 3"),
        (("n", "n"), (3, 4), {}, "n is already 3, not 4"),
        ((..., 4), (), {}, "it needs at least 1 dimension"),
        ((2, 3), (2,), {}, "it needs 2 dimensions"),
        ((..., 4), (2, 2, 4), {"...": (2,)}, "`...` is already [2]"),
    ],
)
def test_contradictions_in_words(spec, concrete, known, problem):
    assert unify(spec, concrete, dict(known)) == problem


def test_what_may_be_written():
    x = shape("n", 4)
    assert check_shape([1, "n", ..., x[0]], "s")[:3] == (1, "n", ...)
    assert check_shape(3, "s") == (3,)
    assert check_shape((), "s") == ()
    assert check_shape(np.array([2, 3]), "s") == (2, 3)
    assert type(check_shape((np.int64(2),), "s")[0]) is int
    size = x[0] * 2
    assert check_shape(size, "s") == (size,)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("n", r"s: a shape is a tuple, so write \('n',\) instead of 'n'"),
        ((-1,), "cannot be negative, but the shape is .-1."),
        (np.int64(-1), "cannot be negative"),
        ((..., 2, ...), "may hold one `...`"),
        ((2.0,), "2.0 is not a dimension; use an int, a name"),
        ((True,), "True is not a dimension"),
        ((None,), "None is not a dimension"),
        (None, "None is not a dimension"),
        (2.5, "2.5 is not a dimension"),
        (("",), "'' is not the name of a dimension"),
        (("...",), "'...' is not the name of a dimension"),
        (("a b",), "'a b' is not the name"),
    ],
)
def test_what_may_not(wrong, message):
    with pytest.raises(DescriptionError, match=message):
        check_shape(wrong, "s")


small = st.integers(-20, 20)
OPERATIONS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "%": operator.mod,
    "ceil_div": cg.ceil_div, "min": cg.minimum, "max": cg.maximum,
}  # fmt: skip


@given(small, small, st.sampled_from(sorted(OPERATIONS)), st.booleans(), st.booleans())
def test_expressions_give_what_ints_give(a, b, operation, left, right):
    if operation == "%" and not left:
        return  # an int modulo a size is not offered
    function = OPERATIONS[operation]
    if b == 0 and operation in ("//", "%", "ceil_div"):
        return
    expression = function(Dim("a") if left else a, Dim("b") if right else b)
    assert isinstance(expression, Size) == (left or right)
    assert evaluate_size(expression, Known(a=a, b=b)) == function(a, b)


@given(st.integers(-1000, 1000), st.integers(1, 50))
def test_ceil_div_is_the_ceiling(a, b):
    assert cg.ceil_div(a, b) == math.ceil(a / b)


def test_expressions_print_as_they_were_written():
    x = shape(..., "n")
    assert str(cg.ceil_div(x[-1] + 1, 4) * 2 - 7) == "((ceil_div((x.shape[-1] + 1), 4) * 2) - 7)"
    assert str(3 // Dim("n") % 5) == "((3 // n) % 5)"
    assert str(cg.minimum(2, Dim("m"))) == "min(2, m)"
    assert show_shape((..., "n", x[0], 3)) == "[..., n, x.shape[0], 3]"


def test_division_by_zero_is_a_shape_error():
    for expression in (cg.ceil_div(4, Dim("n")), 4 // Dim("n"), Dim("n") % Dim("n")):
        with pytest.raises(ShapeError, match="divides by zero: n is 0 here"):
            expression.evaluate(Known(n=0))


def test_a_size_decides_no_branch():
    with pytest.raises(DescriptionError, match="known only when the plan is made"):
        bool(Dim("n"))


def test_what_is_not_known_is_unresolved():
    x = shape(..., "n")
    with pytest.raises(Unresolved):
        evaluate((..., 2), {}, Known())
    with pytest.raises(Unresolved):
        evaluate_size(x[0] + 1, Known())


def test_a_negative_dimension_is_a_shape_error():
    with pytest.raises(ShapeError, match=r"\(n - 3\) is -1; a dimension cannot be negative"):
        evaluate((Dim("n") - 3,), {}, Known(n=2))


def test_dimensions_of_a_written_shape():
    x = shape(2, "n", 4)
    assert (x[0], x[-1], x[-3]) == (2, 4, 2)
    assert evaluate_size(x[1], Known({x.port: (2, 9, 4)})) == 9
    with pytest.raises(ShapeError, match=r"block.x has 3 dimensions; there is no dimension 3"):
        x[3]


def test_dimensions_around_an_ellipsis():
    x = shape(2, ..., 4)
    assert (x[0], x[-1]) == (2, 4)
    scope = Known({x.port: (2, 7, 8, 4)})
    assert [evaluate_size(x[i], scope) for i in (1, 2, 3, -2, -3, -4)] == [7, 8, 4, 8, 7, 2]
    with pytest.raises(ShapeError, match=r"x.shape\[4\] does not exist: block.x has 4 dimensions here: \[2, 7, 8, 4\]"):
        evaluate_size(x[4], scope)


def test_slices_give_what_was_written():
    assert shape(2, "n", 4)[1:] == ("n", 4)
    x = shape(2, ..., "n", 4)
    assert (x[:1], x[:-1], x[-2:], x[1:-2], x[:]) == ((2,), (2, ..., "n"), ("n", 4), (...,), (2, ..., "n", 4))


@pytest.mark.parametrize(
    "cut", [slice(2, None), slice(None, 2), slice(None, -3), slice(-3, None), slice(None, None, -1)]
)
def test_a_slice_may_not_cut_through_an_ellipsis(cut):
    """`x.shape[:-1]` of `(...,)` must not silently be `()`."""
    with pytest.raises(ShapeError, match=r"may not cut through its `\.\.\.`"):
        shape(2, ..., "n", 4)[cut]
    with pytest.raises(ShapeError, match="cut through"):
        shape(...)[:-1]


@given(sizes)
def test_size_and_rows(concrete):
    block = describe(lambda block, b: setattr(block, "x", b.input("x", (...,))))
    scope = Known({block.x: concrete})
    assert evaluate_size(block.x.size, scope) == math.prod(concrete)
    assert evaluate_size(block.x.rows, scope) == math.prod(concrete[:-1])
    assert str(block.x.size * block.x.rows) == "(x.size * x.rows)"


def test_grids_and_shared_memory_take_expressions():
    def say(block, b):
        x, y = b.input("x", (..., "n")), b.output("y", (..., "n"))
        b.kernel(kernel("const float* x, float* y"), grid=(x.rows, cg.ceil_div(x.shape[-1], 32)), threads=32,
                 shared=x.shape[-1] * 4, x=x, y=y)  # fmt: skip

    work = describe(say).description.work[0]
    assert list(map(str, work.grid)) == ["x.rows", "ceil_div(x.shape[-1], 32)", "1"]
    assert str(work.shared) == "(x.shape[-1] * 4)"


@given(sizes, sizes, sizes)
def test_a_named_rest_is_learned_like_an_ellipsis(front, rest, back):
    spec = (*(f"f{i}" for i in range(len(front))), "*rest", *(f"b{i}" for i in range(len(back))))
    unknowns = {}
    concrete = front + rest + back
    assert unify(spec, concrete, unknowns) is None
    assert unknowns["*rest"] == rest
    assert evaluate(spec, unknowns, Known(**{k: v for k, v in unknowns.items() if k != "*rest"})) == concrete


def test_rests_of_two_names_differ():
    unknowns = {}
    assert unify(("*a", 4), (2, 3, 4), unknowns) is None
    assert unify(("*b", 4), (5, 4), unknowns) is None
    assert unify(("*a", 7), (5, 7), unknowns) == "`*a` is already [2, 3]"


@pytest.mark.parametrize("wrong", [(..., "*a"), ("*a", "*b"), ("*a", cg.broadcast((2,)))])
def test_a_shape_has_one_rest(wrong):
    with pytest.raises(DescriptionError, match=r"may hold one `\.\.\.`"):
        check_shape(wrong, "s")


@pytest.mark.parametrize("wrong", ["*", "**a", "a*", "* a"])
def test_what_a_rest_may_not_be_called(wrong):
    with pytest.raises(DescriptionError, match="is not the name of a dimension"):
        check_shape((wrong,), "s")


def test_dimensions_around_a_named_rest():
    x = shape(2, "*batch", "n", 4)
    assert (x[0], x[-1], x[-2:], x[1:-2], show_shape(tuple(x))) == (2, 4, ("n", 4), ("*batch",), "[2, *batch, n, 4]")
    with pytest.raises(ShapeError, match=r"may not cut through its `\*batch`"):
        x[:2]


@given(sizes, sizes, sizes)
def test_broadcast_agrees_with_numpy(a, b, c):
    spec = cg.broadcast(a, ("*b",), c)
    try:
        expected = np.broadcast_shapes(a, b, c)
    except ValueError:
        with pytest.raises(ShapeError, match=r"do not broadcast: .* are neither equal nor 1"):
            evaluate((spec, 9), {"*b": b}, Known())
    else:
        assert evaluate((spec, 9), {"*b": b}, Known()) == (*expected, 9)


def test_broadcast_takes_shapes():
    assert show_shape((cg.broadcast(("*a",), (2,)), "n")) == "[broadcast([*a], [2]), n]"
    with pytest.raises(DescriptionError, match="at least one port or shape"):
        cg.broadcast()
    with pytest.raises(DescriptionError, match="a shape is a tuple"):
        cg.broadcast("a")
    with pytest.raises(Unresolved):
        evaluate((cg.broadcast(("*a",)),), {}, Known())
