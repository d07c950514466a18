"""C++ tokens, as far as reading declarations and expressions needs them. Unknown characters are marks, never errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple


class TokenKind(StrEnum):
    """What a token is."""

    NAME = "name"
    NUMBER = "number"
    LITERAL = "literal"  # a string or a character
    DIRECTIVE = "directive"  # a whole preprocessor line
    NEWLINE = "newline"
    MARK = "mark"  # an operator or punctuation


class Token(NamedTuple):
    """One token: `start` is its offset in the text, `line` honours `#line` directives."""

    kind: TokenKind
    text: str
    line: int
    start: int


_BLOCK_COMMENT = r"(?> /\* .*? (?: \*/ | \Z ) )"  # atomic: giving characters back would swallow what follows it
_LINE_COMMENT = r"// (?: \\\r?\n | [^\n] )*"
_QUOTED = r""" "(?: \\. | [^"\\\n] )*" | '(?: \\. | [^'\\\n] )*' """
_TOKEN = re.compile(
    rf"""
      (?: \A | \n ) (?: [^\S\n] | {_BLOCK_COMMENT} )*
      (?P<directive> \# (?: \\\r?\n | {_BLOCK_COMMENT} | {_LINE_COMMENT} | {_QUOTED} | [^\n] )* )
    | (?P<newline>   \n )
    | (?P<blank>     (?: [^\S\n]+ | \\\r?\n )+ | {_BLOCK_COMMENT} | {_LINE_COMMENT} )
    | (?P<literal>   (?:u8|[uUL])? R"(?P<fence>[^()\\\s]{{0,16}})\( .*? \)(?P=fence)"
                   | (?:u8|[uUL])? (?: {_QUOTED} ) )
    | (?P<number>    \.?\d (?: [eEpP][+-] | '(?=\w) | [\w.] )* )
    | (?P<name>      [^\W\d]\w* )
    | (?P<mark>      <<= | >>= | \.\.\. | :: | -> | \+\+ | -- | && | \|\| | [-+*/%&|^=!<>]= | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_RENUMBER = re.compile(r"#\s*(?:line\s+)?(\d{1,9})\b")
_KINDS = {kind.value: kind for kind in TokenKind}


def tokenize(text: str) -> Iterator[Token]:
    """The tokens of C++ source. Comments are dropped, newlines outside of other tokens are kept."""
    line, counted = 1, 0
    for match in _TOKEN.finditer(text):
        name = match.lastgroup
        if name == "blank" or name is None:
            continue
        start = match.start(name)
        line += text.count("\n", counted, start)
        counted = start
        token = match[name]
        yield Token(_KINDS[name], token, line, start)
        if name == "directive" and (renumbered := _RENUMBER.match(token)):
            line, counted = int(renumbered[1]) - 1, match.end()


def code_tokens(text: str) -> Iterator[Token]:
    """The tokens without newlines."""
    return (token for token in tokenize(text) if token.kind is not TokenKind.NEWLINE)
