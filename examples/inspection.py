"""What a running graph tells: a report, a trace for Perfetto, pictures, the plan, and why a frame did what it did."""

import tempfile
from pathlib import Path

import cudagraph as cg
from cudagraph.blocks import ParticleSystem

with cg.CudaEngine(profile="kernel") as engine, tempfile.TemporaryDirectory() as folder:
    system = engine.add(ParticleSystem(10_000, width=320, height=180))
    for _ in range(30):
        engine.update()
    engine.synchronize()

    print(engine.report())  # a table of blocks with state, times and append counts
    print(system.emitter.debug)  # the same for one block, as values
    print()

    system.gravity.value = 1.0
    engine.update()
    print(engine.explain())  # what the last frame had to do, and why
    print()

    trace = Path(folder, "trace.json")
    engine.trace(trace)  # open it at https://ui.perfetto.dev
    print("trace of", trace.stat().st_size, "bytes;", len(engine.graph().nodes), "blocks in engine.graph()")
    print()

    print(cg.render(system))  # also "mermaid", "dot" and "svg"
    print()
    print(engine.plan)  # every buffer and node
