"""The commands and their options. What they do is in the modules beside this one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

import cudagraph
from cudagraph.errors import CudaGraphError

from .output import fail

app = typer.Typer(
    name="cudagraph",
    help="Live-editable CUDA graphs, on a GPU or on a CPU.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cache_app = typer.Typer(help="The compiled kernels on disk: path, size, clear.", invoke_without_command=True)
app.add_typer(cache_app, name="cache")


class _Bench(typer.core.TyperGroup):
    """`bench geo-sparse` is a command of its own; anything else is a list of suites."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args[:1] == ["geo-sparse"] else ["suites", *args])


bench_app = typer.Typer(cls=_Bench)
app.add_typer(bench_app, name="bench", help="What things cost, beside NumPy, torch and others.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]


def main() -> None:
    """Run the command line. Errors are one clear message and exit code 1; CUDAGRAPH_DEBUG shows the traceback."""
    try:
        app()
    except (CudaGraphError, OSError) as error:
        if os.environ.get("CUDAGRAPH_DEBUG", "0") not in ("", "0"):
            raise
        fail(error)
        sys.exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cudagraph {cudagraph.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Live-editable CUDA graphs, on a GPU or on a CPU."""


@app.command()
def demo(
    particles: Annotated[int, typer.Option(min=1, max=100_000_000, help="Room for so many particles.")] = 100_000,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Frames to run; 600, or until you press q on a terminal.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cuda, cuda:N or host.")] = None,
    headless: Annotated[bool, typer.Option("--headless", help="No live table, even on a terminal.")] = False,
    json: Json = False,
    image: Annotated[Path | None, typer.Option(help="Write the last frame to this PNG file.")] = None,
) -> None:
    """A particle system in one graph: emit, gravity, drag, motion, drawing, with values that change while it runs."""
    from .demo import run

    run(particles, frames, device, headless=headless, as_json=json, image=image)


@app.command()
def doctor(json: Json = False) -> None:
    """What is installed, found and missing, and what to type. Exit code 1 when no device can run."""
    from .doctor import run

    raise typer.Exit(run(as_json=json))


@app.command()
def kernels(
    compile: Annotated[bool, typer.Option("--compile", help="Compile all of them with NVRTC (needs no GPU).")] = False,
    arch: Annotated[list[str] | None, typer.Option(help="Architecture to compile for; may be repeated.")] = None,
    json: Json = False,
) -> None:
    """The kernel library: entries and arguments; with --compile, registers, shared memory and spills."""
    from .kernels import run

    raise typer.Exit(run(compiled=compile or bool(arch), archs=tuple(arch or ()), as_json=json))


@app.command()
def blocks(
    family: Annotated[str | None, typer.Option(help="Only one family, such as activation.")] = None,
    built: Annotated[bool, typer.Option("--built", help="Only what is built.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page of the documentation.")] = False,
    json: Json = False,
) -> None:
    """The catalogue of blocks: definition, status, oracles and the largest measured error."""
    from .blocks import run

    raise typer.Exit(run(family=family, built=built, as_json=json, as_markdown=markdown))


@bench_app.command("suites")
def bench(
    suites: Annotated[list[str] | None, typer.Argument(help="Suites; all of them when none is named.")] = None,
    device: Annotated[str, typer.Option(help="auto, cuda, cuda:N or host.")] = "auto",
    seconds: Annotated[float, typer.Option(min=0.0, help="Measuring time of each case.")] = 2.0,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes and few samples: does everything run?")] = False,
    compiled: Annotated[
        bool, typer.Option("--compiled/--no-compiled", help="With torch.compile, which takes long to begin.")
    ] = True,
    out: Annotated[Path | None, typer.Option(help="Write one JSON file per suite into this folder.")] = None,
    json: Json = False,
) -> None:
    """What things cost, beside NumPy, torch and others: engine, kernels, layers, models, geo_sparse, particles.

    Exit code 1 when a result is wrong or a case failed. `cudagraph bench geo-sparse` compares networks in more detail.
    """
    from .bench.command import bench
    from .bench.harness import Options

    raise typer.Exit(
        bench(suites or (), Options(device, seconds, quick, compiled and not quick), as_json=json, out=out)
    )


@bench_app.command("geo-sparse")
def bench_geo_sparse(
    kind: Annotated[
        str, typer.Argument(help="compare: a net, psann's and a dense one; micro: layer, block; sweep.")
    ] = "compare",
    shape: Annotated[str, typer.Option(help="Grids, such as 8x8,16x16.")] = "",
    depth: Annotated[str, typer.Option(help="Numbers of blocks, such as 4,8.")] = "",
    k: Annotated[str, typer.Option(help="Neighbours of a cell, such as 4,8,16.")] = "",
    activation: Annotated[str, typer.Option(help="Activations, such as relu,psann.")] = "",
    dtype: Annotated[str, typer.Option(help="float32, float16, bfloat16, float64, or several.")] = "float32",
    batch: Annotated[str, typer.Option(help="Rows, such as 1,256.")] = "256",
    device: Annotated[str | None, typer.Option(help="auto, cuda, cuda:N or host.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples of each program.")] = 21,
    compile: Annotated[bool, typer.Option("--compile", help="torch.compile as one more peer.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the reports.")] = Path("reports"),
    resume: Annotated[Path | None, typer.Option(help="Go on in the folder of a run, with what it lacks.")] = None,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="No pictures.")] = False,
    json: Json = False,
) -> None:
    """Forward passes of geo-sparse networks next to psann, torch and dense networks with as many parameters."""
    from .bench.geo.suite import Options, run

    lists = {"shape": shape, "depth": depth, "k": k, "activation": activation, "dtype": dtype, "batch": batch}
    chosen: dict[str, Any] = {name: tuple(filter(None, text.split(","))) for name, text in lists.items()}
    options = Options(
        kind, **chosen, device=device, samples=samples, compiled=compile, out=out, resume=resume, plots=not no_plots
    )
    raise typer.Exit(run(options, as_json=json))


@app.command()
def fuzz(
    seconds: Annotated[float, typer.Option(min=0.0, help="How long; the program that runs then is finished.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Decides all programs; the same seed gives the same ones.")] = 0,
    device: Annotated[str, typer.Option(help="host, cuda, cuda:N, or recording.")] = "host",
    json: Json = False,
) -> None:
    """Random pipelines under random live edits, against a build from scratch and NumPy. Exit code 1 on a difference."""
    from .fuzz.command import run

    raise typer.Exit(run(seconds, seed, device, as_json=json))


@cache_app.callback()
def cache(context: typer.Context, json: Json = False) -> None:
    """The compiled kernels on disk: where, and how much."""
    from .cache import show_cache

    if context.invoked_subcommand is None:
        show_cache(as_json=json)


@cache_app.command()
def path(json: Json = False) -> None:
    """The folder."""
    from .cache import show_cache

    show_cache("path", as_json=json)


@cache_app.command()
def size(json: Json = False) -> None:
    """Bytes in use."""
    from .cache import show_cache

    show_cache("bytes", as_json=json)


@cache_app.command()
def clear(json: Json = False) -> None:
    """Remove all of them."""
    from .cache import clear

    clear(as_json=json)
