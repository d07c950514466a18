"""Writes a failure down as a Python script that needs nothing but the package."""

from __future__ import annotations

import inspect

from . import custom
from .catalogue import KINDS
from .play import Found, World
from .steps import contents

_HEAD = """import dataclasses
from typing import Any

import numpy as np
from numpy import inf, nan

import cudagraph as cg
from cudagraph import blocks
"""
_OPEN = '''
def open_engine(**settings):
    """An engine on this device, with other settings of the environment."""
    return cg.CudaEngine({device!r}, environment=dataclasses.replace(cg.Environment.from_environ(), **settings))
'''


def script(found: Found, world: World) -> str:
    """What led to a failure, and then what it should have been."""
    setup = world.setup
    lines = [line.replace("open_engine()", _opening(world)) for line in world.transcript]
    text = "\n".join((*lines, *world.fresh))
    names = [name for kind in KINDS.values() if any(map(text.count, kind.custom)) for name in kind.custom]
    parts = [_HEAD, *(f"\n{inspect.getsource(getattr(custom, name))}" for name in dict.fromkeys(names))]
    if "array(" in text:
        parts.append(f"\n{inspect.getsource(custom.array)}")
    parts.append(_OPEN.format(device=setup.device))
    parts.append("\n" + "\n".join((*lines, *_comparison(found, world))))
    told = "\n".join(f"# {line}" for line in f"{found.what}: {found}".splitlines())
    return f"{told}\n\n" + "\n".join(parts) + "\n"


def _opening(world: World) -> str:
    return f"open_engine(poison={world.setup.poison}, memory_planner={world.setup.memory_planner})"


def _comparison(found: Found, world: World) -> list[str]:
    """A build of the same pipeline at once, and what has to be equal."""
    if not world.fresh:
        return []
    names = ", ".join(world.model.nodes)
    port = f'{found.name}.ports["{found.port}"]' if found.port else ""
    lines = [
        "",
        "",
        "def fresh():",
        '    """The same pipeline, built at once, with what survived from the frames before."""',
        "    engine = open_engine(memory_planner=False)",
        *(f"    {line}" for line in world.fresh),
        "    engine.update(sync=True)",
        f"    return engine, dict(zip({names!r}.split(', '), [{names}]))",
        "",
        "",
        "print(engine.errors)",
        "other, made = fresh()",
    ]
    if found.what == "differs":
        lines.append(f'given, wanted = engine.read({port}), other.read(made["{found.name}"].ports["{found.port}"])')
    elif found.what == "state":
        state = world.model.nodes[found.name].kind.state
        lines += [
            f'given = {found.name}.states["{state}"].value',
            f'wanted = made["{found.name}"].states["{state}"].value',
        ]
    elif found.what == "reference":
        lines += [
            f'given = other.read(made["{found.name}"].ports["{found.port}"])',
            f"wanted = {contents(found.wanted)}  # what NumPy makes of the same inputs",
            f"np.testing.assert_allclose(given, wanted, rtol=0, atol={found.tolerance})",
        ]
        return lines
    else:
        return lines
    return [*lines, "print(given, wanted, sep='\\n')", "np.testing.assert_array_equal(given, wanted)"]
