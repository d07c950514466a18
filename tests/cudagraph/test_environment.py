from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from cudagraph.environment import VARIABLES, Environment, default_cache_folder, variables_table
from cudagraph.errors import DescriptionError

HOME = {"HOME": "/home/ada"}


def read(**variables):
    return Environment.from_environ(HOME | {f"CUDAGRAPH_{name}": value for name, value in variables.items()})


def test_defaults():
    assert read() == Environment(cache=default_cache_folder(HOME))


def test_every_variable_is_read():
    environment = read(
        DEBUG="3",
        VALIDATE="1",
        POISON="yes",
        CHECK="nan",
        MEMORY_PLANNER="0",
        CACHE="/somewhere",
        DEVICE="host",
        DOT="graph.dot",
        SCHEDULE="random",
        SANITIZE="on",
        THREADS="5",
        CXX="clang++ -stdlib=libc++",
        WATCH="TRUE",
    )
    assert environment == Environment(
        debug=3,
        validate=True,
        poison=True,
        check="nan",
        memory_planner=False,
        cache=Path("/somewhere"),
        device="host",
        dot=Path("graph.dot"),
        schedule="random",
        sanitize=True,
        threads=5,
        cxx="clang++ -stdlib=libc++",
        watch=True,
    )
    fields = {field.name.upper() for field in dataclasses.fields(Environment)} - {"UNKNOWN"}
    assert fields == {variable.name for variable in VARIABLES}


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_empty_is_not_set(variable):
    assert read(**{variable.name: " "}) == read()


@pytest.mark.parametrize(
    ("name", "value", "choices"),
    [
        ("DEBUG", "5", "0 to 4"),
        ("DEBUG", "-1", "0 to 4"),
        ("DEBUG", "verbose", "0 to 4"),
        ("DEBUG", "²", "0 to 4"),
        ("VALIDATE", "2", "0 or 1"),
        ("POISON", "maybe", "0 or 1"),
        ("CHECK", "inf", "nan"),
        ("DEVICE", "gpu", "auto, cuda, host or recording"),
        ("SCHEDULE", "backward", "forward, reverse or random"),
        ("THREADS", "0", "a number from 1"),
        ("THREADS", "1.5", "a number from 1"),
        ("CACHE", "~nobody-of-that-name/cache", "a folder, or 0"),
    ],
)
def test_wrong_values_name_variable_value_and_choices(name, value, choices):
    with pytest.raises(DescriptionError) as caught:
        read(**{name: value})
    message = str(caught.value)
    assert f"CUDAGRAPH_{name}" in message
    assert repr(value) in message
    assert choices in message


def test_zero_keeps_no_cache():
    assert read(CACHE="0").cache is None
    assert read(CACHE="off").cache is None
    assert read(CACHE="1").cache == default_cache_folder(HOME)


def test_the_cache_follows_the_platform():
    assert default_cache_folder(HOME, "linux") == Path("/home/ada/.cache/cudagraph")
    assert default_cache_folder(HOME, "darwin") == Path("/home/ada/Library/Caches/cudagraph")
    assert default_cache_folder(HOME | {"XDG_CACHE_HOME": "/fast"}, "linux") == Path("/fast/cudagraph")
    assert default_cache_folder(HOME | {"XDG_CACHE_HOME": "fast"}, "linux") == Path("/home/ada/.cache/cudagraph")
    assert default_cache_folder({"LOCALAPPDATA": "local"}, "win32") == Path("local", "cudagraph", "cache")
    assert default_cache_folder({}, "win32") is None


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert default_cache_folder({}, "linux") is None
    assert default_cache_folder({"HOME": "relative"}, "linux") is None
    assert Environment.from_environ({}).cache is None


def test_the_real_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("CUDAGRAPH_DEVICE", "recording")
    assert Environment.from_environ().device == "recording"


def test_mistyped_variables_are_told():
    assert read(DEVIEC="host").unknown == ("CUDAGRAPH_DEVIEC (did you mean CUDAGRAPH_DEVICE?)",)
    assert read(ZZZ="1").unknown == ("CUDAGRAPH_ZZZ",)


def test_the_table_has_a_line_per_variable():
    lines = variables_table().splitlines()
    assert len(lines) == len(VARIABLES) + 2
    assert {line.count("|") for line in lines} == {5}
    assert any(line.startswith("| `CUDAGRAPH_SCHEDULE` | forward, reverse or random | forward |") for line in lines)
