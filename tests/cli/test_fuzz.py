"""The fuzzer: it is clean, it repeats itself, and it finds what is broken and says how."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from cudagraph.cli.fuzz import catalogue, command, play
from cudagraph.cli.fuzz.model import ArraySpec, Model, Node, Wire
from cudagraph.cli.fuzz.script import script
from cudagraph.cli.fuzz.steps import Add, Frame, Reopen, Set
from cudagraph.engine.hot import HotValues

ROOT = Path(__file__).parents[2]
X = ArraySpec(1, (2, 3), "float32")


def programs(count: int, device: str, seed: int = 0) -> command.Result:
    result = command.Result(device, seed)
    while result.programs < count and not result.failure:
        command.program(result)
    return result


def test_a_few_programs_are_clean_on_the_host():
    result = programs(2, "host")
    assert not result.failure, result.script
    assert result.frames > 10
    assert result.compared > 50


def test_many_programs_leave_no_memory_on_the_recording_device():
    result = programs(8, "recording")
    assert not result.failure, result.script
    assert result.refused < 3


def test_the_same_seed_makes_the_same_programs():
    assert programs(3, "recording", 5) == programs(3, "recording", 5)
    assert programs(3, "recording", 5) != programs(3, "recording", 6)


def test_a_value_that_stays_stale_is_found_made_short_and_told(monkeypatch, tmp_path):
    monkeypatch.setattr(HotValues, "apply", lambda self, changed: None)
    result = programs(20, "host", 3)
    assert result.failure.startswith(("differs", "state"))
    calls = [line for line in result.script.splitlines() if line.startswith(("engine.", "b")) and "(" in line]
    assert len(calls) < 12
    assert ".parameters[" in result.script
    file = tmp_path / "found.py"
    file.write_text(result.script)
    done = subprocess.run([sys.executable, file], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr  # the script runs, and with an engine that is not broken nothing differs
    assert "cudagraph.cli" not in result.script and "._" not in result.script


def test_what_numpy_does_not_say_is_found():
    world = play.World(play.Setup())
    world.play(Add("b1", "Bump", "Bump(0.5)", (("x", X),)))
    world.play(Frame())
    kind = catalogue.KINDS["Bump"]
    world.model.nodes["b1"].kind = replace(kind, reference=lambda block, inputs, memory, source: inputs[0])
    with pytest.raises(play.Found, match="its reference says") as found:
        world.play(Frame())
    assert "assert_allclose" in script(found.value, world)
    world.close()


def test_a_step_without_its_block_is_left_out():
    model = Model()
    wire = Wire("b1", "y", X)
    step = Add("b2", "ReLU", "blocks.ReLU()", (("x", wire),))
    assert step.lines(model)[1].startswith('engine.bind(b2.ports["x"], array(1')
    step.change(model)
    assert model.nodes["b2"].feeds == {"x": X}
    assert not Set("b1", 'parameters["factor"].value', "1.0").fits(model)
    assert Reopen().lines(model)[:2] == ["engine.close()", "engine = open_engine()"]


@pytest.mark.parametrize("name", catalogue.KINDS)
def test_every_kind_can_be_written_down(name):
    kind = catalogue.KINDS[name]
    text = kind.make(Random(0), (1, 4), "float32")
    assert Node("b1", kind, text, {}).block.outputs


def test_the_command_prints_json():
    arguments = [sys.executable, "-m", "cudagraph", "fuzz", "--seconds", "0.1", "--device", "recording", "--json"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["programs"] >= 1 and told["failure"] == ""
