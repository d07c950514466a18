"""Einstein summation: what an equation says, and how it is split into matrix products."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cudagraph.errors import DescriptionError

REST = "…"  # the letter that stands for the dimensions behind "..."


@dataclass(frozen=True)
class Equation:
    """The letters of each operand's dimensions and of the output's."""

    operands: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class Product:
    """A product of two operands as one of matrices: the letters of its parts, each of which is flattened."""

    batch: str
    rows: str
    inner: str
    columns: str

    @property
    def output(self) -> str:
        """The letters of the result."""
        return self.batch + self.rows + self.columns


def parse_equation(text: str) -> Equation:
    """Letters of "ij,jk->ik"; without an arrow, the output has the letters that stand once, sorted, as in NumPy."""
    said, arrow, output = text.replace(" ", "").replace("...", REST).partition("->")
    operands = tuple(said.split(","))
    if not 1 <= len(operands) <= 3:
        raise DescriptionError(f"the equation {text!r} has {len(operands)} operands; an Einsum takes one to three")
    for letters in (*operands, output):
        if not all(letter == REST or (letter.isascii() and letter.isalpha()) for letter in letters):
            raise DescriptionError(f"the equation {text!r} is not made of letters, ..., commas and one ->")
    if not arrow:
        everything = "".join(operands)
        once = sorted(letter for letter in set(everything) - {REST} if everything.count(letter) == 1)
        output = REST * (REST in everything) + "".join(once)
    strange = set(output) - set("".join(operands))
    if strange or len(set(output)) < len(output) or any(letters.count(REST) > 1 for letters in operands):
        raise DescriptionError(
            f"the equation {text!r}: every letter of the output stands there once, and in an operand; "
            "... stands at most once in each"
        )
    return Equation(operands, output)


def kept(letters: Iterable[str], needed: Iterable[str]) -> str:
    """The letters that are needed, once each, in their order."""
    wanted = set(needed)
    return "".join(letter for letter in dict.fromkeys(letters) if letter in wanted)


def as_product(a: str, b: str, output: str) -> Product | None:
    """How a product of two operands is one of matrices, once each has only the letters it shares with the others.

    None when nothing is summed over both.
    """
    batch = kept(output, set(a) & set(b))
    inner = kept(a, set(b) - set(output))
    rows, columns = kept(output, set(a) - set(b)), kept(output, set(b) - set(a))
    return Product(batch, rows, inner, columns) if inner else None
