"""What a kernel can reach, read from its source: a graph of names that mention names.

It errs on the safe side. Every function, class and macro of the source counts, and mentioning one counts as calling it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cudagraph.lexer import Token, TokenKind, tokenize

_BARRIER = re.compile(r"__sync(threads|warp)\w*|__shfl\w*_sync|__(ballot|any|all|uni|match_any|match_all)_sync|__reduce_\w+_sync")
_GROUP_BARRIERS = frozenset(
    "sync shfl shfl_up shfl_down shfl_xor ballot any all match_any match_all reduce inclusive_scan exclusive_scan "
    "barrier_arrive barrier_wait coalesced_threads cooperative_groups".split()
)
_FORCED = "CUDAGRAPH_FIBERS"  # a kernel that defines this macro is run with fibers whatever is found
_NO_FUNCTIONS = frozenset("__launch_bounds__ __attribute__ alignas decltype noexcept __align__ sizeof".split())


@dataclass(frozen=True, slots=True)
class Reach:
    """What a kernel may call. `barrier`: a barrier or a warp-wide operation; `recursion`: a function that is running."""

    barrier: bool
    recursion: bool


def reach(tokens: Sequence[Token], entry: str) -> Reach:
    """What `entry` may call, directly or through others."""
    mentions = _mentions(tokens)
    groups = any(token.kind is TokenKind.DIRECTIVE and "cooperative_groups" in token.text for token in tokens)
    called = _closure(mentions, entry)
    barrier = any(_BARRIER.fullmatch(name) or (groups and name in _GROUP_BARRIERS) for name in called)
    forced = any(_FORCED in names for names in mentions.values())
    functions = called & mentions.keys()
    recursion = any(name in _closure(mentions, *mentions[name] - {name}) or name in _bodies(mentions, name) for name in functions)
    return Reach(barrier or forced, recursion)


def _mentions(tokens: Sequence[Token]) -> dict[str, set[str]]:
    """For every function, class and macro: the names in its definition."""
    found: dict[str, set[str]] = {}
    owners: list[tuple[str, ...]] = []
    header: list[Token] = []
    for token in tokens:
        if token.kind is TokenKind.DIRECTIVE:
            _add_macro(token, found)
        elif token.text == "{":
            owners.append(_owners(header))
            for owner in owners[-1]:
                found.setdefault(owner, set()).update(part.text for part in header if part.kind is TokenKind.NAME)
            header = []
        elif token.text == "}":
            header = []
            if owners:
                owners.pop()
        else:
            header.append(token)
            if token.text == ";":
                header = []
            if token.kind is TokenKind.NAME:
                for names in owners:
                    for owner in names:
                        found[owner].add(token.text)
    return found


def _add_macro(token: Token, found: dict[str, set[str]]) -> None:
    names = [part.text for part in tokenize(token.text[1:]) if part.kind is TokenKind.NAME]
    if len(names) > 1 and names[0] == "define":
        found.setdefault(names[1], set()).update(names[1:])


def _owners(header: Sequence[Token]) -> tuple[str, ...]:
    """The names that a "{" defines: functions, classes, or a variable that holds a lambda."""
    owners = []
    for index, token in enumerate(header):
        following = header[index + 1].text if index + 1 < len(header) else ""
        before = header[index - 1].text if index else ""
        if token.kind is not TokenKind.NAME or token.text in _NO_FUNCTIONS:
            continue
        if following in ("(", "=") or before in ("struct", "class", "union"):
            owners.append(token.text)
    return tuple(owners)
