"""Elementwise expressions: assignments in C++, split, checked and searched for names. They are never evaluated here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .dtypes import C_TYPES, VECTOR_TYPES
from .errors import DescriptionError
from .lexer import Token, TokenKind, tokenize

_STATEMENT_WORDS = frozenset(
    (
        "asm",
        "__asm__",
        "__asm",
        "break",
        "case",
        "catch",
        "class",
        "continue",
        "default",
        "delete",
        "do",
        "else",
        "enum",
    )
    + ("extern", "for", "friend", "goto", "if", "namespace", "new", "operator", "return", "static", "struct", "switch")
    + ("template", "throw", "try", "typedef", "union", "using", "while", "__shared__", "__device__", "__global__")
)
_TYPE_WORDS = frozenset(
    ("auto", "bool", "char", "const", "constexpr", "double", "float", "int", "long", "short", "signed", "unsigned")
)
_OTHER_WORDS = frozenset(
    ("true", "false", "nullptr", "this", "sizeof", "static_cast", "reinterpret_cast", "const_cast", "dynamic_cast")
    + ("INFINITY", "NAN", "and", "or", "not", "xor", "bitand", "bitor", "compl", "alignof", "decltype", "typename")
)
_WORDS = _STATEMENT_WORDS | _TYPE_WORDS | _OTHER_WORDS
_ASSIGNMENTS = frozenset(("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="))
_OPERATORS = _ASSIGNMENTS | frozenset(
    (
        "+",
        "-",
        "*",
        "/",
        "%",
        "&",
        "|",
        "^",
        "<",
        ">",
        "<=",
        ">=",
        "==",
        "!=",
        "&&",
        "||",
        "?",
        ":",
        ",",
        ".",
        "->",
        "::",
    )
)


@dataclass(frozen=True)
class Statement:
    """One assignment. `target` is the name it assigns, `reads` those it uses; `declares`: the target is a local."""

    tokens: tuple[Token, ...]
    target: str
    declares: bool
    reads: frozenset[str]


@dataclass(frozen=True)
class Expression:
    """A checked expression. `used` names must have a value before, `assigned` ones get theirs from it."""

    parts: tuple[Statement, ...]
    assigned: frozenset[str]
    used: frozenset[str]
    locals: frozenset[str]

    def statements(self, literal: str) -> list[str]:
        """Each statement as C++, its unsuffixed floating literals written through the template `literal`."""
        return [_spell(part.tokens, literal) for part in self.parts]


def parse_expression(text: str) -> Expression:
    """Assignments separated by `;` or newlines; `DescriptionError` for anything else."""
    subject = f"elementwise {' '.join(text.split())!r}"
    tokens = list(tokenize(text))
    _refuse(tokens, subject)
    parts = tuple(_statements(tokens, subject))
    if not parts:
        raise DescriptionError(f"{subject}: nothing is assigned; write an assignment such as y = a * x + c")
    assigned, local, used = set[str](), set[str](), set[str]()
    for part in parts:
        used |= part.reads - assigned - local
        (local if part.declares else assigned).add(part.target)
    return Expression(parts, frozenset(assigned - local), frozenset(used), frozenset(local))


def _refuse(tokens: Sequence[Token], subject: str) -> None:
    """Only expressions may pass: nothing that ends the function, opens a scope or speaks to the compiler."""
    for place, token in enumerate(tokens):
        literal = token.kind in (TokenKind.LITERAL, TokenKind.DIRECTIVE) or token.text in "{}#\\\"'@`$"
        if literal or token.text in _STATEMENT_WORDS or "'" in token.text:
            shown = token.text.splitlines()[0]
            raise DescriptionError(
                f"{subject}: {shown!r} cannot be used; write assignments of expressions (calls and ?: are fine), "
                "or a whole kernel with b.kernel(cg.CudaSource(...))"
            )
        if token.text == "*" and (before := tokens[place - 1]).text == "*" and before.start == token.start - 1:
            raise DescriptionError(f"{subject}: C++ has no **; write x * x, or pow(x, 3)")
        if token.text in ("++", "--"):
            raise DescriptionError(f"{subject}: {token.text} changes a value inside an expression; write x = x + 1")


def _statements(tokens: Sequence[Token], subject: str) -> Iterator[Statement]:
    for lines in _at_semicolons(tokens):
        for statement in _join_lines(lines):
            yield _statement(statement, subject)


def _at_semicolons(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    for separator, group in itertools.groupby(tokens, key=lambda token: token.text == ";"):
        if not separator:
            yield list(group)


def _join_lines(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """A line goes on in the next one inside of brackets, after an operator and before one."""
    statement: list[Token] = []
    depth = 0
    broken = False
    for token in tokens:
        if token.kind is TokenKind.NEWLINE:
            broken = True
            continue
        if broken and statement and not depth and not {token.text, statement[-1].text} & _OPERATORS:
            yield statement
            statement = []
        broken = False
        depth += (token.text in "([") - (token.text in ")]")
        statement.append(token)
    if statement:
        yield statement


def _statement(tokens: list[Token], subject: str) -> Statement:
    shown = _spell(tokens, "{}")
    places = [index for index, token in enumerate(tokens) if token.text in _ASSIGNMENTS]
    if not places or places[0] == 0:
        raise DescriptionError(f"{subject}: `{shown}` assigns nothing; write name = expression")
    if len(places) > 1:
        raise DescriptionError(f"{subject}: `{shown}` assigns more than once; write one assignment per statement")
    _check_balance(tokens, f"{subject}: `{shown}`")
    left, right = tokens[: places[0]], tokens[places[0] + 1 :]
    if not right:
        raise DescriptionError(f"{subject}: `{shown}` has nothing to the right of {tokens[places[0]].text}")
    if right[-1].text in _OPERATORS:
        raise DescriptionError(f"{subject}: `{shown}` ends with {right[-1].text}; write what comes after it")
    target, declares, extra = _target(left, f"{subject}: `{shown}`")
    if tokens[places[0]].text != "=":
        extra = extra | {target}
    return Statement(tuple(tokens), target, declares, frozenset(_names(right)) | extra)


def _check_balance(tokens: Sequence[Token], subject: str) -> None:
    expected: list[str] = []
    for token in tokens:
        if token.text in ("(", "["):
            expected.append(")" if token.text == "(" else "]")
        elif token.text in (")", "]") and (not expected or expected.pop() != token.text):
            raise DescriptionError(f"{subject} has a {token.text} too many")
        elif token.text == "," and not expected and not _in_template(tokens, token):
            raise DescriptionError(f"{subject} has a comma outside of a call; write one assignment per statement")
    if expected:
        raise DescriptionError(f"{subject} lacks a {expected[-1]}")


def _in_template(tokens: Sequence[Token], comma: Token) -> bool:
    """Whether a comma may belong to template arguments: `pair<int, int>(...)`."""
    before = [token.text for token in tokens if token.start < comma.start]
    after = [token.text for token in tokens if token.start > comma.start]
    return "<" in before and ">" in after


def _target(left: Sequence[Token], subject: str) -> tuple[str, bool, frozenset[str]]:
    """What is assigned, whether that declares it, and names that the left side reads (`y[k] = ...` reads k)."""
    names = [token for token in left if token.kind is TokenKind.NAME]
    first = left[0]
    if len(left) == 1 and first.kind is TokenKind.NAME and first.text not in _WORDS:
        return first.text, False, frozenset()
    if first.kind is TokenKind.NAME and first.text not in _WORDS and left[1].text in (".", "["):
        return first.text, False, frozenset(_names(left[1:]))
    last = left[-1]
    if len(names) > 1 and last.kind is TokenKind.NAME and last.text not in _WORDS and _is_type(left[:-1]):
        return last.text, True, frozenset()
    raise DescriptionError(f"{subject} does not assign a name; write name = expression, or float name = expression")


def _is_type(tokens: Sequence[Token]) -> bool:
    return all(token.kind is TokenKind.NAME or token.text == "::" for token in tokens)


def _names(tokens: Sequence[Token]) -> Iterator[str]:
    """Names of values: no functions, members, types or keywords."""
    texts = ["", *(token.text for token in tokens), ""]
    for (before, text, after), token in zip(zip(texts, texts[1:], texts[2:], strict=False), tokens, strict=False):
        if token.kind is not TokenKind.NAME or text in _WORDS or text in C_TYPES or text in VECTOR_TYPES:
            continue
        if before not in (".", "->", "::") and after not in ("(", "::"):
            yield text


def _spell(tokens: Sequence[Token], literal: str) -> str:
    """The tokens as text, with the spaces that were there."""
    text = ""
    for previous, token in zip([None, *tokens], tokens, strict=False):
        if previous is not None and token.start > previous.start + len(previous.text):
            text += " "
        is_floating = token.kind is TokenKind.NUMBER and _is_unsuffixed_float(token.text)
        text += literal.format(token.text) if is_floating else token.text
    return text


def _is_unsuffixed_float(number: str) -> bool:
    digits = number.lower()
    if digits.startswith("0x"):
        return False
    return digits[-1] in "0123456789." and ("." in digits or "e" in digits)
