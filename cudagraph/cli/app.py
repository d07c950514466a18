"""The commands and their options. What they do is in the modules beside this one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

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
