"""Text as tokens, next to the tokenizers package."""

from __future__ import annotations

import json

import pytest

import cudagraph as cg
from cudagraph.blocks.models import read_tokenizer

TEXTS = (
    "Hello there's  we'll\n\n  go, 'tis 'S I'D 12ab34 ... end  ",
    "x² ½ naïve Straße 日本語 テスト १२३ \u00a0x\u2003 y e\u0301 👍🏽!?",
    "   ",
    "a\x00b\x1c\x85c",
    "",
)


def test_the_same_tokens_as_the_tokenizers_package(tmp_path, repository):
    tokenizers = pytest.importorskip("tokenizers")
    text = (repository / "README.md").read_text()
    theirs = tokenizers.ByteLevelBPETokenizer()
    theirs.train_from_iterator([text, *TEXTS], vocab_size=700, show_progress=False)
    theirs.save_model(str(tmp_path))
    ours = read_tokenizer(tmp_path)
    for each in (text, *TEXTS):
        tokens = ours.encode(each)
        assert tokens == theirs.encode(each).ids
        assert ours.decode(tokens).decode() == each


def test_without_files_tokens_are_bytes(tmp_path):
    tokenizer = read_tokenizer(tmp_path)
    assert tokenizer.encode("é!") == [0xC3, 0xA9, 0x21]
    assert tokenizer.decode([0xC3, 0xA9, 300, -1]).decode() == "é"


def test_files_that_are_wrong_are_named(tmp_path):
    (tmp_path / "vocab.json").write_text('{"a": "b"}')
    with pytest.raises(cg.DescriptionError, match=r"vocab\.json is malformed"):
        read_tokenizer(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "ab": 1, "b": 2}))
    with pytest.raises(cg.DescriptionError, match=r"merges\.txt cannot be read"):
        read_tokenizer(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    tokenizer = read_tokenizer(tmp_path)
    assert tokenizer.encode("abba") == [1, 2, 0]
    assert tokenizer.decode([1, 7, 0]) == b"aba"
    with pytest.raises(cg.DescriptionError, match="no token for 'c', a part of 'abc'"):
        tokenizer.encode("abc")
