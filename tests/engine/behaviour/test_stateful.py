"""Any sequence of edits gives bit for bit what a fresh engine gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import toy_blocks as toy
from devices_under_test import open_device
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import cudagraph as cg

SOURCES = (
    toy.SCALE,
    toy.SCALE.replace("factor * x[i]", "factor * x[i] + 1.0f"),
    toy.SCALE.replace("factor * x[i]", "-x[i]"),
)
BROKEN = toy.SCALE.replace("factor * x[i]", "no_such_name")
FACTORS = st.sampled_from([0.5, 1.0, -2.0, 3.0])
LENGTHS = st.sampled_from([1, 7, 64])


@dataclass
class Model:
    """What a block should be, independent of any engine."""

    kind: type[cg.Block]
    value: float
    source: int = 0
    block: Any = field(default=None, compare=False)

    def make(self) -> Any:
        block = self.kind() if self.kind in (toy.Add, toy.Double) else self.kind(self.value)
        if self.kind is toy.Scale and self.source:
            block.replace_source(SOURCES[self.source])
        return block


class Edits(RuleBasedStateMachine):
    """Random live edits, checked after every frame against an engine built from scratch."""

    open_device: Any = None  # set by the test

    def __init__(self) -> None:
        super().__init__()
        self.engine = cg.CudaEngine(self.open_device())
        self.models: dict[str, Model] = {}
        self.wires: dict[tuple[str, str], str] = {}  # (block, input) -> block whose output feeds it
        self.arrays: dict[tuple[str, str], np.ndarray] = {}
        self.counter = 0
        self.length = 7

    def teardown(self) -> None:
        self.engine.close()

    @initialize(value=FACTORS)
    def first(self, value: float) -> None:
        self.add(toy.Scale, value)

    @rule(kind=st.sampled_from([toy.Scale, toy.Shift, toy.Add, toy.Double, toy.Accumulate]), value=FACTORS)
    def add(self, kind: type[cg.Block], value: float) -> None:
        if len(self.models) >= 6:
            return
        self.counter += 1
        name = f"b{self.counter}"
        model = Model(kind, value)
        model.block = self.engine.add(model.make(), name=name)
        self.models[name] = model
        for port in model.block.inputs:
            self.bind(name, port.name)

    def bind(self, name: str, port: str) -> None:
        array = np.random.default_rng(len(self.arrays) + self.counter).integers(-8, 8, self.length).astype(np.float32)
        self.arrays[name, port] = array
        self.engine.bind(getattr(self.models[name].block, port), array)

    @precondition(lambda self: len(self.models) > 1)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.models)))
        for (block, port), source in list(self.wires.items()):
            if source == name:
                self.disconnect_wire(block, port)
        self.engine.remove(self.models.pop(name).block)
        self.wires = {key: source for key, source in self.wires.items() if key[0] != name}
        self.arrays = {key: array for key, array in self.arrays.items() if key[0] != name}

    @precondition(lambda self: len(self.models) > 1)
    @rule(data=st.data())
    def connect(self, data: st.DataObject) -> None:
        names = sorted(self.models, key=lambda name: int(name[1:]))
        target = data.draw(st.sampled_from(names[1:]))
        source = data.draw(st.sampled_from(names[: names.index(target)]))  # older to newer: never a circle
        port = data.draw(st.sampled_from([port.name for port in self.models[target].block.inputs]))
        if (target, port) in self.wires:
            return
        self.engine.unbind(getattr(self.models[target].block, port))
        del self.arrays[target, port]
        self.engine.connect(self.models[source].block.outputs[0], getattr(self.models[target].block, port))
        self.wires[target, port] = source

    @precondition(lambda self: self.wires)
    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        self.disconnect_wire(*data.draw(st.sampled_from(sorted(self.wires))))

    def disconnect_wire(self, target: str, port: str) -> None:
        source = self.wires.pop((target, port))
        self.engine.disconnect(self.models[source].block.outputs[0], getattr(self.models[target].block, port))
        self.bind(target, port)

    @rule(data=st.data(), value=FACTORS)
    def set_value(self, data: st.DataObject, value: float) -> None:
        model = self.models[data.draw(st.sampled_from(sorted(self.models)))]
        if model.kind in (toy.Scale, toy.Shift):
            model.value = value
            parameter = model.block.factor if model.kind is toy.Scale else model.block.offset
            parameter.value = value

    @rule(data=st.data(), source=st.integers(0, 2))
    def replace_source(self, data: st.DataObject, source: int) -> None:
        model = self.models[data.draw(st.sampled_from(sorted(self.models)))]
        if model.kind is toy.Scale:
            model.source = source
            model.block.replace_source(SOURCES[source])

    @rule(data=st.data())
    def break_source(self, data: st.DataObject) -> None:
        model = self.models[data.draw(st.sampled_from(sorted(self.models)))]
        if model.kind is toy.Scale:
            self.engine.update()  # so that the edit before this one has been taken
            model.block.replace_source(BROKEN)
            self.engine.update()
            assert "no_such_name" in model.block.debug.message

    @rule(length=LENGTHS)
    def resize(self, length: int) -> None:
        self.length = length
        for name, port in list(self.arrays):
            self.bind(name, port)

    @rule()
    def rebind(self) -> None:
        for key, array in self.arrays.items():
            self.arrays[key] = array + 1
            self.engine.bind(getattr(self.models[key[0]].block, key[1]), array + 1)

    @invariant()
    def same_as_fresh(self) -> None:
        if not self.models:
            return
        fresh = self.fresh()
        with fresh[0]:
            self.engine.update()
            fresh[0].update()
            for name, model in self.models.items():
                port = model.block.outputs[0]
                if name not in self.wires.values():
                    given = self.engine.read(port)
                    np.testing.assert_array_equal(given, fresh[0].read(fresh[1][name].outputs[0]), err_msg=name)
        assert not [error for error in self.engine.errors if "no_such_name" not in str(error)]

    def fresh(self) -> tuple[cg.CudaEngine, dict[str, Any]]:
        """A new engine with new blocks, described by the models, with the states of the running ones."""
        engine = cg.CudaEngine(self.open_device())
        blocks = {name: engine.add(model.make(), name=name) for name, model in self.models.items()}
        for (target, port), source in self.wires.items():
            engine.connect(blocks[source].outputs[0], getattr(blocks[target], port))
        for (target, port), array in self.arrays.items():
            engine.bind(getattr(blocks[target], port), array)
        for name, model in self.models.items():
            if model.kind is toy.Accumulate and self.keeps_state(model.block):
                blocks[name].total.init = model.block.total.value
        return engine, blocks

    def keeps_state(self, block: toy.Accumulate) -> bool:
        """A state is made anew when its shape changes, and before the first frame."""
        running = block.total in self.engine.plan.ports if self.engine.frame >= 0 else False
        return running and block.total.value.shape == (self.length,)


def test_any_sequence_of_edits_equals_a_fresh_engine(device: str) -> None:
    machine = type("EditsOnDevice", (Edits,), {"open_device": staticmethod(lambda: open_device(device))})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
