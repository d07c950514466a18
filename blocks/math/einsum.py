"""Einstein summation of one to three tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.port import Port
from cudagraph.shape import Dim, DimSpec, PortSpan, SizeLike
from cudagraph.work import Operand

from .equation import REST, Product, as_product, kept, parse_equation

_MOST_LETTERS = 10  # that the kernel takes


class Einsum(Block):
    """y = the sum of a * b * c over the letters that the output lacks: Einstein summation, as `torch.einsum`.

    One to three operands a, b, c and y, of one type (float16, bfloat16, float32, float64); sums are float32 (float64
    for float64), and with three operands the first product is stored in the operands' type. The equation is NumPy's:
    "bij,bkj->bik", with or without an output, with "..." for any number of equal dimensions, and with a letter repeated
    in one operand for its diagonal. What sums over a letter of both operands is a matrix product (in batches) by
    cuBLAS, with a permutation before or after it where the order of letters asks for one; the rest is one kernel.
    Operands are taken from left to right. `DescriptionError` for an equation that is none, `ShapeError` for lengths
    that differ.
    """

    def __init__(self, equation: str, *, dtype: str = "T") -> None:
        super().__init__()
        said = parse_equation(equation)
        self.equation = equation
        with BlockBuilder(self) as b:
            names = ("a", "b", "c")[: len(said.operands)]
            ports = [b.input(n, _spec(letters), dtype) for n, letters in zip(names, said.operands, strict=True)]
            self.operands = tuple(ports)
            plan = _Planner(b, dict(zip(ports, said.operands, strict=True)), dtype)
            operands: list[tuple[Operand, str]] = list(zip(ports, said.operands, strict=True))
            while len(operands) > 2:
                first, second, *others = operands
                letters = kept(first[1] + second[1], said.output + "".join(letters for _, letters in others))
                operands = [plan.contract([first, second], letters), *others]
            self.y = plan.finish(operands, said.output)

    def reference(self, *operands: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of the operands."""
        return np.einsum(self.equation, *operands)


class _Planner:
    """Describes the steps, and knows the length of every letter."""

    def __init__(self, b: BlockBuilder, ports: dict[Port, str], dtype: str) -> None:
        self.b = b
        self.dtype = dtype
        self._lengths: dict[str, Any] = {}
        for port, letters in ports.items():
            before, rest, after = letters.partition(REST)
            if rest:
                self._lengths.setdefault(REST, PortSpan(port, len(before), -len(after) or None))
            self._lengths.update((letter, Dim(letter)) for letter in before + after)
        if len(self._lengths) > _MOST_LETTERS:
            raise DescriptionError(f"an Einsum has at most {_MOST_LETTERS} letters, not {len(self._lengths)}")

    def contract(self, operands: list[tuple[Operand, str]], output: str) -> tuple[Operand, str]:
        """A step into scratch memory, and the letters of its result, which may stand in another order."""
        product = self._product(operands, output)
        if product is None:
            target = self.b.scratch(_spec(output), self.dtype)
            self._sum(operands, target, output)
            return target, output
        return self._multiply(operands, product), product.output

    def finish(self, operands: list[tuple[Operand, str]], output: str) -> Port:
        """The last step, into the block's output."""
        product = self._product(operands, output)
        if product is not None and product.output == output:
            return self.b.view(self._multiply(operands, product), _spec(output), name="y")
        if product is not None:
            operands = [(self._multiply(operands, product), product.output)]
        y = self.b.output("y", _spec(output), self.dtype)
        self._sum(operands, y, output)
        return y

    def _product(self, operands: list[tuple[Operand, str]], output: str) -> Product | None:
        """How two operands are multiplied as matrices, if they can be; rows and columns as the output has them."""
        if len(operands) < 2:
            return None
        ways = [as_product(a, b, output) for (_, a), (_, b) in (operands, operands[::-1])]
        if ways[0] and ways[1] and ways[0].output != output and ways[1].output == output:
            operands.reverse()
            return ways[1]
        return ways[0]

    def _multiply(self, operands: list[tuple[Operand, str]], product: Product) -> Operand:
        batch, rows, inner, columns = product.batch, product.rows, product.inner, product.columns
        a, transpose_a = self._as_matrix(*operands[0], batch + rows + inner, batch + inner + rows)
        b, transpose_b = self._as_matrix(*operands[1], batch + inner + columns, batch + columns + inner)
        lead = (self._span(batch),) if batch else ()
        shapes = [(self._span(group[0]), self._span(group[1])) for group in ((rows, inner), (inner, columns))]
        a, b = (
            self.b.view(matrix, (*lead, *(shape[::-1] if turned else shape)), name=None)
            for matrix, shape, turned in zip((a, b), shapes, (transpose_a, transpose_b), strict=True)
        )
        result = self.b.scratch((*lead, self._span(rows), self._span(columns)), self.dtype)
        self.b.library("cublas.gemm", a=a, b=b, c=result, transpose_a=transpose_a, transpose_b=transpose_b)
        return result

    def _as_matrix(self, operand: Operand, letters: str, plain: str, turned: str) -> tuple[Operand, bool]:
        """The operand in one of two orders; where it has neither, a copy: permuted, summed, of its diagonal."""
        if letters in (plain, turned):
            return operand, letters != plain
        copy = self.b.scratch(tuple(self._lengths[letter] for letter in plain), self.dtype)
        self._sum([(operand, letters)], copy, plain)
        return copy, False

    def _sum(self, operands: list[tuple[Operand, str]], y: Operand, output: str) -> None:
        """The kernel for what is no matrix product: permutations, sums, diagonals, products element by element."""
        everything = output + kept("".join(letters for _, letters in operands), set(self._lengths) - set(output))
        macros: dict[str, Any] = {"OPERANDS": len(operands), "LETTERS": len(everything), "OUTPUTS": len(output)}
        for name, (_, letters) in zip("ABC", operands, strict=False):
            macros[f"AXES_{name}"] = "".join(f"{everything.index(letter)}," for letter in letters)
        tensors = dict(zip("abc", [operand for operand, _ in (*operands, *[operands[0]] * 2)][:3], strict=True))
        lengths: list[SizeLike] = [self._lengths[letter] for letter in everything]
        counts = {f"n{i}": lengths[i] if i < len(lengths) else 1 for i in range(_MOST_LETTERS)}
        self.b.kernel("math/einsum", elements=y.size, define=macros, **tensors, y=y, count=y.size, **counts)

    def _span(self, letters: str) -> Any:
        return math.prod(self._lengths[letter] for letter in letters)


def _spec(letters: str) -> tuple[DimSpec, ...]:
    """A shape with the letters as its dimensions."""
    return tuple(... if letter == REST else letter for letter in letters)
