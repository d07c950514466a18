"""y = x + f(x), and where a norm stands around it."""

from __future__ import annotations

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.port import Port
from cudagraph.shape import broadcast

from .merge import Merge
from .wrapped import add_scaled, adds_residual, entry, expose_others, scalar_of, through


class Residual(Block):
    """y = shortcut(x) + alpha * f(x), f any block with y like x; without alpha 1, without a shortcut x itself.

    x, y: [...] of the block's type. `alpha`, when given, is hot. `shortcut`, a block such as a Linear, gives x the
    shape of f(x). Where f takes a residual itself (`Linear(residual=True)`, SelfAttention, ...) and there is no alpha,
    the addition is part of its last pass; otherwise it is one kernel. f's further inputs are inputs of this block. He
    et al. 2015, arXiv 1512.03385.
    """

    def __init__(self, block: Block, alpha: float | None = None, *, shortcut: Block | None = None) -> None:
        super().__init__()
        self.block, self.shortcut = block, shortcut
        inner = entry("Residual", block)
        with BlockBuilder(self) as b:
            for child in (block, shortcut):
                if child is not None:
                    b.child(child)
            self.x = b.input("x", tuple(inner.shape), inner.dtype)
            self.alpha = None if alpha is None else b.parameter("alpha", alpha, scalar_of(inner))
            expose_others(b, block)
            carried = through(b, "Residual", shortcut, self.x)
            self.y = add(b, "Residual", block, self.x, carried, alpha=self.alpha)


class PreNormResidual(Block):
    """y = x + drop(f(norm(x))), f and norm any blocks with outputs like their inputs.

    x, y: [...] of the norm's type. `drop` is a block such as DropPath, between f and the addition. Without it, and
    where f takes a residual itself, the addition is part of f's last pass. f's further inputs are inputs of this
    block. Xiong et al. 2020, arXiv 2002.04745.
    """

    def __init__(self, block: Block, norm: Block, *, drop: Block | None = None) -> None:
        super().__init__()
        self.norm, self.block, self.drop = norm, block, drop
        inner = entry("PreNormResidual", norm)
        with BlockBuilder(self) as b:
            children(b, norm, block, drop)
            self.x = b.input("x", tuple(inner.shape), inner.dtype)
            expose_others(b, block)
            given = through(b, "PreNormResidual", norm, self.x)
            self.y = add(b, "PreNormResidual", block, given, self.x, drop=drop)


class PostNormResidual(Block):
    """y = norm(x + drop(f(x))), or with order="res-post-norm" y = x + drop(norm(f(x))).

    x, y: [...] of the block's type. Where norm is a `LayerNorm(residual=True)` or the like, addition and norm are one
    kernel; where f takes a residual itself, the addition is part of its last pass. `drop` is a block such as DropPath.
    f's further inputs are inputs of this block. `DescriptionError` for another order, or where both f and norm would
    add. Vaswani et al. 2017, arXiv 1706.03762; res-post-norm: Liu et al. 2021, arXiv 2111.09883.
    """

    def __init__(self, block: Block, norm: Block, *, order: str = "post", drop: Block | None = None) -> None:
        super().__init__()
        self.block, self.norm, self.drop = block, norm, drop
        if order not in ("post", "res-post-norm"):
            raise DescriptionError(f"PostNormResidual: order is 'post' or 'res-post-norm', not {order!r}")
        inner = entry("PostNormResidual", block)
        with BlockBuilder(self) as b:
            children(b, block, norm, drop)
            self.x = b.input("x", tuple(inner.shape), inner.dtype)
            expose_others(b, block)
            self.y = self._added_last(b) if order == "res-post-norm" else self._normed_last(b)

    def _normed_last(self, b: BlockBuilder) -> Port:
        if not adds_residual(self.norm):
            given = add(b, "PostNormResidual", self.block, self.x, self.x, drop=self.drop, name="sum")
            return b.expose(through(b, "PostNormResidual", self.norm, given), "y")
        _check_plain(self.block)
        inner = through(b, "PostNormResidual", self.drop, through(b, "PostNormResidual", self.block, self.x))
        b.connect(self.x, self.norm.ports["residual"])
        return b.expose(through(b, "PostNormResidual", self.norm, inner), "y")

    def _added_last(self, b: BlockBuilder) -> Port:
        _check_plain(self.block)
        _check_plain(self.norm)
        normed = through(b, "PostNormResidual", self.norm, through(b, "PostNormResidual", self.block, self.x))
        f = through(b, "PostNormResidual", self.drop, normed)
        y = b.output("y", self.x.shape, known(self.x, f))
        add_scaled(b, self.x, f, y, None)
        return y


def children(b: BlockBuilder, *blocks: Block | None) -> None:
    """Put those that there are into the block."""
    for block in blocks:
        if block is not None:
            b.child(block)


def add(
    b: BlockBuilder,
    subject: str,
    block: Block,
    x: Port,
    carried: Port,
    *,
    alpha: object = None,
    drop: Block | None = None,
    name: str = "y",
) -> Port:
    """carried + alpha * drop(block(x)): in the block's own last pass, or by a kernel.

    It is this block's output `y`, or with another name the output of a child of that name.
    """
    f = through(b, subject, block, x)
    if adds_residual(block) and alpha is None and drop is None:
        b.connect(carried, block.ports["residual"])
        return b.expose(f, name) if name == "y" else f
    _check_plain(block)
    f = through(b, subject, drop, f)
    if name != "y":
        summed = b.child(Merge(2), name)
        b.connect(carried, summed.xs[0])
        b.connect(f, summed.xs[1])
        return summed.y
    total = b.output(name, broadcast(carried, f), known(carried, f))
    add_scaled(b, carried, f, total, alpha)  # type: ignore[arg-type]
    return total


def known(*ports: Port) -> object:
    """The type of the first port that says one."""
    return next((port.dtype for port in ports if not isinstance(port.dtype, str)), ports[0].dtype)


def _check_plain(block: Block) -> None:
    if adds_residual(block):
        raise DescriptionError(
            f"{block.path} adds a residual itself, which leaves no place for a factor, a drop or a norm before the "
            "addition; build it without residual"
        )
