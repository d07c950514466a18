"""Text as tokens: the byte-level byte pair encoding of GPT-2, or plain bytes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from cudagraph.errors import DescriptionError

from .checkpoint import read_json

# GPT-2's rule for words, over a text in which every letter, number and blank of any language is an ASCII one.
_WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


class ByteTokenizer:
    """Each byte of a UTF-8 text is a token."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""
        return list(text.encode())

    def decode(self, tokens: Iterable[int]) -> bytes:
        """The bytes that tokens stand for: pieces of UTF-8. Tokens that stand for none are left out."""
        return bytes(token for token in tokens if 0 <= token < 256)


class BytePairTokenizer:
    """GPT-2's tokens: words as bytes, whose neighbours are merged in the order in which the merges were learned.

    `vocabulary` is vocab.json, `merges` the lines of merges.txt. Radford et al. 2019; Sennrich et al. 2016, arXiv
    1508.07909.
    """

    def __init__(self, vocabulary: dict[str, int], merges: Iterable[str]) -> None:
        self._tokens = vocabulary
        self._ranks = {tuple(line.split(" ")): rank for rank, line in enumerate(merges)}
        letters = _letters()
        self._letters = letters
        self._bytes = {
            token: bytes(letters.index(letter) for letter in piece) if set(piece) <= set(letters) else piece.encode()
            for piece, token in vocabulary.items()
        }
        self._word = lru_cache(maxsize=65536)(self._encode_word)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text; `DescriptionError` for a byte that the vocabulary lacks."""
        plain = "".join(map(_plain, text))
        return [token for match in _WORDS.finditer(plain) for token in self._word(text[slice(*match.span())])]

    def decode(self, tokens: Iterable[int]) -> bytes:
        """The bytes that tokens stand for: pieces of UTF-8. Tokens that stand for none are left out."""
        return b"".join(self._bytes.get(token, b"") for token in tokens)

    def _encode_word(self, word: str) -> tuple[int, ...]:
        pieces = [self._letters[byte] for byte in word.encode()]
        while len(pieces) > 1:
            best = min(pairwise(pieces), key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if best not in self._ranks:
                break
            pieces = _merged(pieces, best)
        try:
            return tuple(self._tokens[piece] for piece in pieces)
        except KeyError as missing:
            raise DescriptionError(f"the vocabulary has no token for {missing.args[0]!r}, a part of {word!r}") from None


def read_tokenizer(folder: str | Path) -> BytePairTokenizer | ByteTokenizer:
    """The tokenizer of a GPT-2 folder, from vocab.json and merges.txt; plain bytes where it has none of both."""
    vocabulary, merges = Path(folder, "vocab.json"), Path(folder, "merges.txt")
    if not vocabulary.exists() and not merges.exists():
        return ByteTokenizer()
    tokens = read_json(vocabulary)
    if not all(type(token) is int for token in tokens.values()):
        raise DescriptionError(f"{vocabulary} is malformed: it is no table from pieces of text to numbers")
    try:
        lines = merges.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise DescriptionError(f"{merges} cannot be read: {error}") from None
    return BytePairTokenizer(tokens, [line for line in lines if line and not line.startswith("#version")])


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """The pieces with every occurrence of a pair joined, from the left."""
    joined: list[str] = []
    for piece in pieces:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece  # the result is not a part of the same pair: it is longer than both
        else:
            joined.append(piece)
    return joined


def _letters() -> str:
    """A visible letter for each byte, as vocab.json spells them: the printable ones as they are, others from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return "".join(chr(byte if byte in printable else next(others)) for byte in range(256))


def _plain(letter: str) -> str:
    """An ASCII character of the same kind."""
    if letter.isascii():
        return letter
    if letter.isspace():
        return "\t"
    return {"L": "z", "N": "0"}.get(unicodedata.category(letter)[0], "!")
