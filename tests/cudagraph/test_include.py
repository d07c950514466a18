"""Inlined text is complete, keeps the compiler's line numbers right, and holds no file from outside the folders."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from cudagraph.errors import DescriptionError
from cudagraph.include import inline_file, inline_text


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path.resolve()

    return write


def code(text):
    return [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#line")]


def test_each_file_enters_once_and_toolkit_includes_stay(write):
    main = write("main.cu", '#include <cuda_fp16.h>\n#include "a.cuh"\n  # include "b.cuh" // again\nint main_;\n')
    a = write("a.cuh", '#pragma once\n#include "b.cuh"\nint a;')
    b = write("b.cuh", '#pragma once\n#include "a.cuh"\nint b;\n')
    text, files = inline_file(main)
    assert code(text) == ["#include <cuda_fp16.h>", "int b;", "int a;", "int main_;"]
    assert files == (main, a, b)


def test_commented_and_quoted_includes_stay(write):
    main = write("main.cu", '// #include "no.cuh"\n/*\n#include "no.cuh"\n*/\nauto s = R"(\n#include "no.cuh"\n)";\n')
    text, files = inline_file(main)
    assert text.count("no.cuh") == 3
    assert files == (main,)


def test_roots_come_after_the_including_folder(write, tmp_path):
    main = write("nn/main.cu", '#include "common/x.cuh"\n#include "../shared/y.cuh"\n')
    x = write("common/x.cuh", "int x;\n")
    y = write("shared/y.cuh", '#include "z.cuh"\n')
    z = write("shared/z.cuh", "int z;\n")
    write("z.cuh", "int wrong;\n")
    assert inline_file(main, [tmp_path])[1] == (main, x, y, z)


def test_text_without_a_file_includes_from_the_roots(write, tmp_path):
    write("x.cuh", "int x;\n")
    text, files = inline_text('#include "x.cuh"\nint y;', "<kernel>", [tmp_path])
    assert code(text) == ["int x;", "int y;"]
    assert text.startswith('#line 1 "<kernel>"\n')
    assert len(files) == 1


@pytest.mark.parametrize("name", ["../secret.cuh", "sub/../../secret.cuh", "link.cuh", "ABSOLUTE"])
def test_nothing_from_outside_the_folders(write, tmp_path, name):
    secret = write("secret.cuh", "int secret;\n")
    (tmp_path / "inside" / "sub").mkdir(parents=True)
    (tmp_path / "inside" / "link.cuh").symlink_to(secret)
    main = write("inside/main.cu", f'\n#include "{name.replace("ABSOLUTE", str(secret))}"\n')
    with pytest.raises(DescriptionError, match=r"main\.cu:2: #include .* leaves the folders"):
        inline_file(main)


def test_missing_include_names_file_line_and_folders(write, tmp_path):
    main = write("main.cu", '#include "a.cuh"\n')
    write("a.cuh", 'int a;\n\n#include "missing.cuh"\n')
    with pytest.raises(DescriptionError) as error:
        inline_file(main, [tmp_path / "root"])
    assert f'{tmp_path / "a.cuh"}:3: #include "missing.cuh" was not found' in str(error.value)
    assert str(tmp_path / "root") in str(error.value)


def test_endless_depth_is_an_error(write):
    for i in range(200):
        write(f"f{i}.cuh", f'#include "f{i + 1}.cuh"\n')
    with pytest.raises(DescriptionError, match="nested more than 100 deep"):
        inline_file(write("main.cu", '#include "f0.cuh"\n'))


def test_binary_file_is_an_error(write, tmp_path):
    (tmp_path / "a.cuh").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DescriptionError, match="not UTF-8"):
        inline_file(write("main.cu", '#include "a.cuh"\n'))


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_compilers_report_the_right_file_and_line(write, tmp_path):
    write("a.cuh", "#pragma once\nint fine;\n\nint broken_a = nothing;")
    main = write("main.cu", '/* 1\n2 */ #include "a.cuh" /* 2\n3 */\nint broken_main = nothing;\n')
    text, _ = inline_file(main)
    command = ["c++", "-x", "c++", "-fsyntax-only", "-"]
    errors = subprocess.run(command, input=text, capture_output=True, text=True).stderr
    assert f"{tmp_path / 'a.cuh'}:4:" in errors
    assert f"{main}:4:" in errors
