"""What a kernel can reach, read from its source: a graph of names that mention names.

It errs on the safe side. Every function, class and macro of the source counts, and mentioning one counts as calling it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from cudagraph.lexer import Token, TokenKind, tokenize

_BARRIER = re.compile(r"__sync(threads|warp)\w*|__(shfl|match|reduce)\w*_sync|__(ballot|any|all|uni)_sync")
_GROUP_BARRIERS = frozenset(
    "sync shfl shfl_up shfl_down shfl_xor ballot any all match_any match_all reduce inclusive_scan exclusive_scan "
    "barrier_arrive barrier_wait coalesced_threads cooperative_groups".split()
)
_FORCED = "CUDAGRAPH_FIBERS"  # a kernel that defines this macro is run with fibers whatever is found
_NO_FUNCTIONS = frozenset(
    "if for while switch return catch sizeof alignas decltype noexcept __attribute__ __launch_bounds__".split()
)


@dataclass(frozen=True, slots=True)
class Reach:
    """What a kernel may call: a barrier or a warp-wide operation; a function that calls itself."""

    barrier: bool
    recursion: bool


def reach(tokens: Sequence[Token], entry: str) -> Reach:
    """What `entry` may call, directly or through others."""
    names = _Names()
    for token in _compiled(tokens):
        names.add(token)
    mentions = names.mentions
    called = _closure(mentions, {entry})
    groups = any(token.kind is TokenKind.DIRECTIVE and "cooperative_groups" in token.text for token in tokens)
    barrier = any(_BARRIER.fullmatch(name) or (groups and name in _GROUP_BARRIERS) for name in called)
    forced = any(_FORCED in mentioned for mentioned in mentions.values())
    functions = (called & mentions.keys()) - names.classes - {entry}
    recursion = any(name in _closure(mentions, mentions[name]) for name in functions)
    return Reach(barrier or forced, recursion)


_CONDITION = re.compile(
    r"#\s*if(?:(n?)def|\s*(!?)\s*defined)\b\s*\(?\s*(CUDAGRAPH_HOST|__CUDA_ARCH__)\s*\)?\s*(&&[^|]*)?"
)


def _compiled(tokens: Iterable[Token]) -> Iterator[Token]:
    """The tokens without branches that are plainly for a GPU: `#ifdef __CUDA_ARCH__`, `#ifndef CUDAGRAPH_HOST`."""
    left_out: list[bool | None] = []  # for every open #if; None where one cannot tell
    for token in tokens:
        if token.kind is TokenKind.DIRECTIVE:
            word = token.text.lstrip("# \t")
            if word.startswith("if"):
                left_out.append(_is_left_out(token.text.partition("//")[0]))
            elif word.startswith("el") and left_out:
                before = left_out[-1]
                left_out[-1] = not before if word.startswith("else") and before is not None else None
            elif word.startswith("endif") and left_out:
                left_out.pop()
        if True not in left_out:
            yield token


def _is_left_out(directive: str) -> bool | None:
    match = _CONDITION.fullmatch(directive.strip())
    if match is None:
        return None
    negated = bool(match[1] or match[2])
    false = (match[3] == "CUDAGRAPH_HOST") == negated
    return None if match[4] and not false else false


def _closure(mentions: dict[str, set[str]], start: Iterable[str]) -> set[str]:
    """Everything that is mentioned from here, and from there, and so on."""
    seen: set[str] = set()
    ahead = list(start)
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            ahead.extend(mentions.get(name, ()))
    return seen


class _Names:
    """For every function, class and macro: the names in its definition."""

    def __init__(self) -> None:
        self.mentions: dict[str, set[str]] = {}
        self.classes: set[str] = set()
        self._owners: list[set[str]] = []
        self._header: list[Token] = []

    def add(self, token: Token) -> None:
        """Take in the next token."""
        if token.kind is TokenKind.DIRECTIVE:
            _add_macro(token, self.mentions)
        elif token.text == "{":
            self._open()
        elif token.text in (";", "}"):
            self._header = []
            if token.text == "}" and self._owners:
                self._owners.pop()
        else:
            self._header.append(token)
            if token.kind is TokenKind.NAME:
                for owner in chain.from_iterable(self._owners):
                    self.mentions[owner].add(token.text)

    def _open(self) -> None:
        """A "{": what its header names is defined by what follows, and by the header's own types and initialisers."""
        functions, classes = _defined(self._header)
        self.classes |= classes
        owners = functions | classes
        for owner in owners:
            header = {token.text for token in self._header if token.kind is TokenKind.NAME}
            self.mentions.setdefault(owner, set()).update(header - owners)
        self._owners.append(owners)
        self._header = []


def _add_macro(token: Token, found: dict[str, set[str]]) -> None:
    names = [part.text for part in tokenize(token.text[1:]) if part.kind is TokenKind.NAME]
    if len(names) > 1 and names[0] == "define":
        found.setdefault(names[1], set()).update(names[1:])


def _defined(header: Sequence[Token]) -> tuple[set[str], set[str]]:
    """The functions (or variables that hold a lambda) and the classes that a "{" defines."""
    functions, classes = set(), set()
    for index, token in enumerate(header):
        following = header[index + 1].text if index + 1 < len(header) else ""
        before = header[index - 1].text if index else ""
        if token.kind is not TokenKind.NAME or token.text in _NO_FUNCTIONS:
            continue
        if before in ("struct", "class", "union"):
            classes.add(token.text)
        elif following in ("(", "="):
            functions.add(token.text)
    return functions, classes
