"""Inlining: a kernel's own `#include "..."` files become part of its text, so that a program is complete in itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from .errors import DescriptionError
from .lexer import Token, TokenKind, tokenize

_DEEPEST = 100  # nested includes; deeper is a mistake, and would exhaust Python's stack


def inline_file(path: Path, roots: Sequence[Path] = ()) -> tuple[str, tuple[Path, ...]]:
    """The text of a CUDA C++ file with its includes inlined, and every file that is in it, the first one first."""
    path = path.resolve()
    inliner = _Inliner(tuple(root.resolve() for root in roots))
    inliner.files.append(path)
    return inliner.expand(read_source(path), str(path), path.parent), tuple(inliner.files)


def inline_text(text: str, origin: str, roots: Sequence[Path] = ()) -> tuple[str, tuple[Path, ...]]:
    """The same for source that is in no file: its includes are found in `roots`."""
    inliner = _Inliner(tuple(root.resolve() for root in roots))
    return inliner.expand(text, origin, None), tuple(inliner.files)


def read_source(path: Path) -> str:
    """A file's text; `DescriptionError` where it is not text."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DescriptionError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise DescriptionError(f"{path} cannot be read: {error.strerror}") from None


class _Inliner:
    """One inlining. Each file enters once, as if every file began with `#pragma once`."""

    def __init__(self, roots: tuple[Path, ...]) -> None:
        self.roots = roots
        self.files: list[Path] = []

    def expand(self, text: str, origin: str, folder: Path | None, depth: int = 0) -> str:
        """The text with its includes replaced; `#line` marks let compilers name the right file and line."""
        pieces = [_mark(1, origin)]
        position = 0
        for token, name in _own_directives(text):
            pieces.append(text[position : token.start])
            position = token.start + len(token.text)
            if name is not None:
                included = self._included(name, f"{origin}:{token.line}", folder, depth)
                pieces += (included, _mark(token.line + token.text.count("\n"), origin))
        pieces.append(text[position:])
        return "".join(pieces)

    def _included(self, name: str, where: str, folder: Path | None, depth: int) -> str:
        path = self._find(name, where, folder)
        if path in self.files:
            return ""
        if depth == _DEEPEST:
            raise DescriptionError(f'{where}: #include "{name}" is nested more than {_DEEPEST} deep')
        self.files.append(path)
        return self.expand(read_source(path), str(path), path.parent, depth + 1) + "\n"

    def _find(self, name: str, where: str, folder: Path | None) -> Path:
        """The file that an include names, beside the including file or under a root, never anywhere else."""
        folders = tuple(dict.fromkeys((folder, *self.roots) if folder else self.roots))
        candidates = [path for parent in folders if (path := _existing(parent / name)) is not None]
        for path in candidates:
            if not Path(name).is_absolute() and any(map(path.is_relative_to, folders)):
                return path
        tried = "\n".join(f"  {parent}" for parent in folders) or "  (no folders)"
        if Path(name).is_absolute() or candidates:
            raise DescriptionError(
                f'{where}: #include "{name}" leaves the folders that kernels may include from; they are\n{tried}'
            )
        raise DescriptionError(
            f'{where}: #include "{name}" was not found; write <{name}> if it is the CUDA toolkit\'s. Looked in\n{tried}'
        )


def _existing(path: Path) -> Path | None:
    """Where a file really is; None if there is none, or no file can have that name."""
    try:
        path = path.resolve()
        return path if path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long, not a name, links in a circle
        return None


def _mark(line: int, origin: str) -> str:
    """A `#line` directive. After an include, the rest of the include's own line comes next, so it names that line."""
    quoted = origin.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'#line {line} "{quoted}"\n'


def _own_directives(text: str) -> Iterator[tuple[Token, str | None]]:
    """Every `#include "name"` with its name, and every `#pragma once` (which a compiler rejects in its main file)."""
    for token in tokenize(text):
        if token.kind is TokenKind.DIRECTIVE:
            words = [inner.text for inner in tokenize(token.text[1:])]
            if words[:2] == ["pragma", "once"]:
                yield token, None
            elif words[:1] == ["include"] and len(words) > 1 and words[1].startswith('"'):
                yield token, words[1].strip('"')
