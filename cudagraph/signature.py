"""A kernel's signature, read from its source: the plain `extern "C" __global__` entry is the metadata.

    extern "C" __global__ void vector_add(const float* a, const float* b, float* c, float gain, long long n)

`const T*` is an input, `T*` an output, everything else is passed by value.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .errors import DescriptionError
from .lexer import Token, TokenKind, code_tokens


class ArgumentKind(StrEnum):
    """How a kernel takes an argument."""

    INPUT = "input"  # const T*
    OUTPUT = "output"  # T*
    VALUE = "value"  # T


@dataclass(frozen=True, slots=True)
class KernelArgument:
    """One argument: `ctype` is the pointee's or the value's C++ type without qualifiers ("float", "T", "Particle").

    `default` is passed by value when nothing is bound (arguments that a foreign compiler adds on its own).
    """

    name: str
    kind: ArgumentKind
    ctype: str
    default: int | None = None

    def __str__(self) -> str:
        prefix = "const " if self.kind is ArgumentKind.INPUT else ""
        return f"{prefix}{self.ctype}{'' if self.kind is ArgumentKind.VALUE else '*'} {self.name}"


@dataclass(frozen=True, slots=True)
class Signature:
    """A kernel's entry: name, arguments in order, its line, and the thread limit of `__launch_bounds__`."""

    entry: str
    arguments: tuple[KernelArgument, ...]
    line: int = 1
    max_threads: int | None = None

    def argument(self, name: str) -> KernelArgument:
        """The argument of that name; `DescriptionError` lists the names there are."""
        for argument in self.arguments:
            if argument.name == name:
                return argument
        raise DescriptionError(
            f"kernel {self.entry} has no argument {name!r}; its arguments are {self.names()}{_nearest(name, self)}"
        )

    def names(self) -> str:
        """The arguments' names, for messages."""
        return ", ".join(argument.name for argument in self.arguments) or "(none)"

    def __str__(self) -> str:
        return f"{self.entry}({', '.join(map(str, self.arguments))})"


def parse_signature(text: str, *, entry: str | None = None, origin: str = "<string>") -> Signature:
    """The signature of the one `extern "C" __global__` kernel in CUDA C++ source, or of the one called `entry`."""
    found = list(_kernels(text))
    kernels = {kernel.name: kernel for kernel in found if kernel.plain}
    if entry is None and len(kernels) == 1:
        (entry,) = kernels
    if entry is None or entry not in kernels:
        raise DescriptionError(_wrong_entry(entry, list(kernels.values()), found, origin))
    same = {kernel.arguments: kernel for kernel in found if kernel.plain and kernel.name == entry}
    if len(same) > 1:
        lines = " and ".join(str(kernel.line) for kernel in same.values())
        raise DescriptionError(
            f"{origin}: kernel {entry} is written with different arguments in lines {lines}; keep one"
        )
    return kernels[entry].signature(origin)


def parse_argument(text: str, *, origin: str = "<string>", position: int = 1) -> KernelArgument:
    """One argument as C++ writes it, such as `const float* x` or `unsigned int n`."""
    return _argument(list(code_tokens(text)), f"{origin}: argument {position}, `{text.strip()}`,")


def _nearest(name: str, signature: Signature) -> str:
    close = difflib.get_close_matches(name, [argument.name for argument in signature.arguments], 1)
    return f"; did you mean {close[0]!r}?" if close else ""


@dataclass(frozen=True)
class _Kernel:
    """A `__global__` definition, not looked into yet. `plain`: it has C linkage and is no template."""

    name: str
    line: int
    plain: bool
    header: tuple[Token, ...]
    open: int  # index of the argument list's "(" in `header`

    @property
    def arguments(self) -> tuple[str, ...]:
        return tuple(token.text for token in self.header[self.open :])

    def signature(self, origin: str) -> Signature:
        """Its arguments, one by one; `DescriptionError` for what cannot be bound."""
        where = f"{origin}:{self.line}: kernel {self.name}"
        close = _closing(self.header, self.open)
        tokens = self.header[self.open + 1 : close]
        if any(token.kind is TokenKind.DIRECTIVE for token in tokens):
            raise DescriptionError(f"{where} has an #if inside its argument list; write one whole kernel per branch")
        parts = _split(tokens)
        if len(parts) == 1 and [token.text for token in parts[0]] in ([], ["void"]):
            parts = []
        arguments = tuple(
            _argument(part, f"{where}: argument {i}, `{_show(part)}`,") for i, part in enumerate(parts, 1)
        )
        names = [argument.name for argument in arguments]
        if twice := [name for name in names if names.count(name) > 1]:
            raise DescriptionError(f"{where} has two arguments called {twice[0]}; give each its own name")
        return Signature(self.name, arguments, self.line, _launch_bounds(self.header[: self.open]))


def _wrong_entry(entry: str | None, kernels: list[_Kernel], found: list[_Kernel], origin: str) -> str:
    names = ", ".join(kernel.name for kernel in kernels)
    if entry is not None and kernels:
        return f"{origin} has no kernel {entry!r}; it has {names}"
    if kernels:
        choice = "keep one to a file, or say which: CudaSource(text, entry=...)"
        return f"{origin} has {len(kernels)} kernels: {names}; {choice}"
    hint = 'write one as: extern "C" __global__ void name(const float* x, float* y, long long n)'
    if found:
        hint = f'line {found[0].line} has {found[0].name}, which must be no template and begin with extern "C"'
    return f'{origin} has no `extern "C" __global__` kernel{f" {entry!r}" if entry else ""}; {hint}'


_LINKAGE, _NAMESPACE, _BODY = "linkage", "namespace", "body"


def _kernels(text: str) -> Iterator[_Kernel]:
    """Every `__global__` definition outside of bodies. Branches of `#if` are all read, each from the same nesting."""
    header: list[Token] = []
    scopes: tuple[str, ...] = ()
    branches: list[tuple[str, ...]] = []
    for token in code_tokens(text):
        if token.kind is TokenKind.DIRECTIVE:
            scopes = _branch(token.text, scopes, branches)
            if any(seen.text == "__global__" for seen in header):
                header.append(token)
        elif token.text == "}":
            scopes, header = scopes[:-1], []
        elif token.text == "{":
            scope = _BODY if _BODY in scopes else _opened(header)
            if scope is _BODY and (kernel := _definition(header, _LINKAGE in scopes)):
                yield kernel
            scopes, header = (*scopes, scope), []
        elif token.text == ";" and token.kind is TokenKind.MARK:
            header = []
        elif _BODY not in scopes:
            header.append(token)


def _branch(directive: str, scopes: tuple[str, ...], branches: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Nesting after a preprocessor line: `#else` starts again from where its `#if` was."""
    word = directive[1:].lstrip()
    if word.startswith("if"):
        branches.append(scopes)
    elif word.startswith("el") and branches:
        return branches[-1]
    elif word.startswith("endif") and branches:
        branches.pop()
    return scopes


def _opened(header: list[Token]) -> str:
    words = [token.text for token in header]
    if words == ["extern", '"C"']:
        return _LINKAGE
    return _NAMESPACE if "namespace" in words[:2] else _BODY


def _definition(header: list[Token], in_linkage_block: bool) -> _Kernel | None:
    """The kernel that this declaration starts, if it is one."""
    words = [token.text for token in header]
    if "__global__" not in words:
        return None
    tokens = tuple(header)
    for index, (token, following) in enumerate(zip(tokens, words[1:], strict=False)):
        if following == "(" and token.kind is TokenKind.NAME and not _takes_arguments(token.text):
            linkage = in_linkage_block or '"C"' in words[:index]
            return _Kernel(token.text, token.line, linkage and "template" not in words[:index], tokens, index + 1)
    return None


def _takes_arguments(word: str) -> bool:
    """Whether it is an attribute such as `__launch_bounds__(256)`, not a function."""
    return word in ("alignas", "decltype") or (word.startswith("__") and word.endswith("__"))


_LITERAL = re.compile(r"([1-9]\d{0,8})[uUlL]*")


def _launch_bounds(tokens: Sequence[Token]) -> int | None:
    """The literal thread limit, the smallest where several are written."""
    limits = [
        int(literal[1])
        for bounds, number, end in zip(tokens, tokens[2:], tokens[3:], strict=False)
        if bounds.text == "__launch_bounds__" and end.text in ",)" and (literal := _LITERAL.fullmatch(number.text))
    ]
    return min(limits, default=None)


_OPEN, _CLOSE = "([{<", ")]}>"


def _closing(tokens: Sequence[Token], opening: int) -> int:
    depth = 0
    for index in range(opening, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[index].text, 0)
        if not depth:
            return index
    return len(tokens)


def _split(tokens: Sequence[Token]) -> list[list[Token]]:
    """The parts between commas, those inside of brackets and template arguments aside."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.text in _OPEN) - (token.text in _CLOSE)
        if token.text == "," and not depth:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


_QUALIFIERS = frozenset(
    ("const", "volatile", "restrict", "__restrict", "__restrict__", "__grid_constant__", "register")
)
_QUALIFIERS |= {"struct", "class", "union", "enum", "typename"}
_INTEGER_WORDS = frozenset(("signed", "unsigned", "short", "long", "int", "char"))
_BUILTIN_WORDS = _INTEGER_WORDS | {"float", "double", "bool", "void"}


def _argument(tokens: list[Token], subject: str) -> KernelArgument:
    words = _declarator(_without_attributes(tokens), subject)
    array = words.index("[") if "[" in words else len(words)
    pointers = words.count("*") + words.count("[")
    if pointers > 1:
        raise DescriptionError(f"{subject} is a pointer to pointers or to rows; pass one flat array")
    name = words[array - 1] if array > 1 and words[array - 1].isidentifier() else ""
    pointee = words[: words.index("*")] if "*" in words else words[: array - 1]
    types = _unqualified(pointee)
    if not name or name in _BUILTIN_WORDS | _QUALIFIERS or not types:
        raise DescriptionError(f"{subject} has no name; arguments are bound by name, so give it one")
    kind = ArgumentKind.VALUE
    if pointers:
        kind = ArgumentKind.INPUT if _is_const(pointee) else ArgumentKind.OUTPUT
    return KernelArgument(name, kind, _type_name(types))


def _outside_template_arguments(words: list[str]) -> Iterator[tuple[str, bool]]:
    depth = 0
    for word in words:
        yield word, depth == 0
        depth += (word == "<") - (word == ">")


def _is_const(pointee: list[str]) -> bool:
    return any(word == "const" and outside for word, outside in _outside_template_arguments(pointee))


def _unqualified(words: list[str]) -> list[str]:
    return [word for word, outside in _outside_template_arguments(words) if not (outside and word in _QUALIFIERS)]


def _declarator(tokens: list[Token], subject: str) -> list[str]:
    """The words without a default value, if they are a type and a name that can be bound."""
    words = [token.text for token in tokens]
    if "=" in words:
        words = words[: words.index("=")]
    if not words:
        raise DescriptionError(f"{subject} is empty; write a type and a name, or remove a comma")
    if "&" in words or "&&" in words:
        raise DescriptionError(f"{subject} is a reference; a kernel takes a pointer (const T* in, T* out) or a value")
    if "..." in words:
        raise DescriptionError(f"{subject} is variadic; list every argument")
    if "(" in words:
        raise DescriptionError(f"{subject} is a function or a macro; write its type out: const T* x, T* y or T value")
    return words


def _without_attributes(tokens: list[Token]) -> list[Token]:
    """Drops `[[...]]`, `alignas(...)` and `__attribute__((...))`."""
    kept: list[Token] = []
    index = 0
    while index < len(tokens):
        word, following = tokens[index].text, tokens[index + 1].text if index + 1 < len(tokens) else ""
        if following == "(" and _takes_arguments(word):
            index = _closing(tokens, index + 1) + 1
        elif word == following == "[":
            index = next((i for i in range(index, len(tokens)) if tokens[i].text == "]"), len(tokens)) + 2
        else:
            kept.append(tokens[index])
            index += 1
    return kept


def _type_name(words: list[str]) -> str:
    """One spelling for every way of writing a type: `long unsigned int` is "unsigned long"."""
    if words and _INTEGER_WORDS.issuperset(words):
        return _integer_name(words)
    if words[:2] == ["std", "::"] and words[-1].endswith("_t"):
        return words[-1]
    text = ""
    for previous, word in zip(["", *words], words, strict=False):
        text += (" " if (previous.isidentifier() and word.isidentifier()) or previous == "," else "") + word
    return text


def _integer_name(words: list[str]) -> str:
    size = next(
        (word for word in ("char", "short") if word in words), " ".join(["long"] * words.count("long")) or "int"
    )
    sign = "unsigned " if "unsigned" in words else "signed " if "signed" in words and size == "char" else ""
    return sign + size


def _show(tokens: Sequence[Token]) -> str:
    return " ".join(token.text for token in tokens)
