"""Tries this commit as a newcomer does, from nothing, with each Python that is given or found.

python benchmarks/pythons.py [PYTHON ...]   everything: wheel, sdist, README's two commands, the tests, type checkers
python benchmarks/pythons.py --quick        the wheel, the demo, an example and the smoke test: under a minute each
python benchmarks/pythons.py --record       writes docs/evidence/pythons.json, where other versions' results stay

A PYTHON is a path or a name on PATH. Without any, those in PYTHONS are tried, else every other version that PATH or
pyenv has. What is tried is the last commit, not the working tree.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "docs" / "evidence" / "pythons.json"
PARTS = "cudagraph engine cli faults examples test_smoke.py test_docs.py test_packaging.py test_layers.py".split()
DEMO = ("demo", "--headless", "--frames", "60")
_FACTS = """
import json, platform, sys, numpy
import cudagraph as cg
with cg.CudaEngine("host") as engine:
    print(json.dumps({"python": platform.python_version(), "numpy": numpy.__version__,
                      "compiler": engine.device.description.rpartition(", ")[2]}))
"""
_SMOKE = "import pathlib, tempfile, test_smoke; test_smoke.test_everything_once(pathlib.Path(tempfile.mkdtemp()))"
_TYPED = 'import cudagraph as cg\nengine = cg.CudaEngine("host")\nbuilds: {} = engine.rebuilds\n'


class Failed(Exception):
    """A command that ended otherwise than it should, with the end of what it printed."""


class Trial:
    """One interpreter, an empty folder, and what was done there."""

    def __init__(self, python: str, folder: Path, clone: Path) -> None:
        self.python, self.folder, self.clone = python, folder, clone
        self.steps: dict[str, str] = {}
        drop = ("PYTHON", "CUDAGRAPH_", "VIRTUAL_ENV")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(drop)}
        self.environment |= {"CUDAGRAPH_CACHE": str(folder / "cache"), "CUDAGRAPH_DEVICE": "host"}
        self.environment |= {"PIP_NO_COMPILE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}  # half of the time

    def run(self, *command: object, where: Path | None = None, ends: int = 0, **environment: str) -> str:
        """Its output. The folder is outside of the clone unless `where` says so."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=where or self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1800,
            check=False,
        )
        if (done.returncode == 0) != (ends == 0):
            raise Failed(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-3000:]}")
        return done.stdout

    def step(self, name: str, do: Callable[..., str], *arguments: Any) -> bool:
        """Do it and note what it returns. False when it failed."""
        started = time.perf_counter()
        try:
            told = self.steps[name] = do(self, *arguments)
        except (Failed, OSError, subprocess.TimeoutExpired) as error:
            self.steps[name] = "failed"
            told = f"failed: {error}"
        print(f"  {name}: {told} ({time.perf_counter() - started:.0f} s)", flush=True)
        return self.steps[name] != "failed"

    def environment_of(self, name: str, *packages: object) -> Path:
        """The scripts' folder of a fresh virtual environment with these packages."""
        self.run(self.python, "-m", "venv", name)
        scripts = self.folder / name / "bin"
        if packages:
            self.install(scripts, *packages)
        return scripts

    def install(self, scripts: Path, *packages: object, where: Path | None = None) -> None:
        """Install with pip, as people do."""
        self.run(scripts / "python", "-m", "pip", "install", "--quiet", *packages, where=where)


def wheel(trial: Trial, file: Path) -> str:
    """The wheel, with the compiler that comes as a package."""
    return works(trial, trial.environment_of("wheel", f"{file}[host]"))


def sdist(trial: Trial, file: Path) -> str:
    """The sdist, built by pip, with the machine's own compiler."""
    return works(trial, trial.environment_of("sdist", file))


def works(trial: Trial, scripts: Path) -> str:
    """What an installed package has to do, outside of the clone; warnings are errors."""
    for file in ("examples/hello.py", "tests/test_smoke.py"):
        shutil.copy(trial.clone / file, trial.folder)
    for command in (("cudagraph", *DEMO), ("cudagraph", "doctor"), ("python", "hello.py"), ("python", "-c", _SMOKE)):
        trial.run(scripts / command[0], *command[1:], PYTHONWARNINGS="error")
    return "ok"


def without_compiler(trial: Trial) -> str:
    """The demo where PATH has nothing but the environment, so that it compiles with the compiler from the wheel."""
    scripts = trial.folder / "wheel" / "bin"
    cache = str(trial.folder / "cache of zig")
    if ", zig " not in trial.run(scripts / "cudagraph", *DEMO, PATH=str(scripts), CUDAGRAPH_CACHE=cache):
        raise Failed("another compiler than zig was used")
    return "ok"


def types(trial: Trial) -> str:
    """Both type checkers see the types of the installed package: they take what is right and refuse what is wrong."""
    scripts = trial.folder / "wheel" / "bin"
    trial.install(scripts, "pyright[nodejs]", "mypy")
    for kind, ends in (("int", 0), ("str", 1)):
        (trial.folder / f"typed_{kind}.py").write_text(_TYPED.format(kind))
        trial.run(scripts / "pyright", "--pythonpath", scripts / "python", f"typed_{kind}.py", ends=ends)
        trial.run(scripts / "mypy", f"typed_{kind}.py", ends=ends)
    return "ok"


def readme_demo(trial: Trial) -> str:
    """README's first command, in a clone."""
    scripts = trial.environment_of("readme")
    trial.install(scripts, ".[host]", where=trial.clone)
    trial.run(scripts / "cudagraph", *DEMO, where=trial.clone)
    return "ok"


def readme_tests(trial: Trial) -> str:
    """README's second command, in a clone, for the parts of the suite that take minutes."""
    scripts = trial.environment_of("tests")
    trial.install(scripts, "-e", ".[test]", where=trial.clone)
    parts = [f"tests/{part}" for part in PARTS]
    output = trial.run(scripts / "python", "-m", "pytest", "-q", "-n", 2, "-r", "fE", *parts, where=trial.clone)
    return re.sub(r" in .*", "", output.strip().splitlines()[-1]).strip("= ")


def try_python(python: str, built: Path, clone: Path, quick: bool) -> dict[str, Any]:
    """All steps with one interpreter."""
    print(f"\n{python}", flush=True)
    facts = {"python": version_of(python), "system": _system(), "date": datetime.date.today().isoformat()}
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(python, Path(folder), clone)
        files = [next(built.glob(pattern)) for pattern in ("*.whl", "*.tar.gz")]
        if trial.step("wheel: demo, doctor, an example, smoke test", wheel, files[0]):
            facts |= json.loads(trial.run(trial.folder / "wheel" / "bin" / "python", "-c", _FACTS))
            if not quick:
                trial.step("demo without another compiler than ziglang", without_compiler)
                trial.step("types seen by pyright and mypy", types)
                trial.step("sdist: demo, doctor, an example, smoke test", sdist, files[1])
                trial.step('clone: `pip install ".[host]" && cudagraph demo`', readme_demo)
                trial.step('clone: `pip install -e ".[test]"`, tests', readme_tests)
    return facts | {"steps": trial.steps}


def _system() -> str:
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {platform.machine()}"
    except OSError:
        return f"{platform.system()} {platform.release()}, {platform.machine()}"


def version_of(python: str) -> str | None:
    """Its version when it can make environments and is new enough, else None."""
    code = (
        "import sys, venv, ensurepip; print('.'.join(map(str, sys.version_info[:3]))); exit(sys.version_info < (3, 11))"
    )
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def found(environment: Mapping[str, str]) -> list[str]:
    """Interpreters of other minor versions than this one's, one of each, the newest patch first."""
    root = Path(environment.get("PYENV_ROOT") or Path.home() / ".pyenv")
    names = environment.get("PYTHONS", "").split()
    names = names or [f"python3.{minor}" for minor in range(11, 16)] + [
        str(path) for path in sorted(root.glob("versions/3.*/bin/python"), reverse=True)
    ]
    seen = {tuple(sys.version_info[:2])}
    kept: dict[tuple[int, ...], str] = {}
    for name in names:
        version = version_of(name)
        minor = tuple(map(int, (version or "0.0").split(".")[:2]))
        if version and minor not in seen | kept.keys():
            kept[minor] = name
    return [kept[minor] for minor in sorted(kept)]


def build(folder: Path) -> tuple[Path, Path]:
    """A clone of the last commit, and the sdist and the wheel that are built of it."""
    clone, built = folder / "clone", folder / "built"
    trial = Trial(sys.executable, folder, clone)
    trial.run("git", "clone", "--quiet", ROOT, clone)
    trial.run(trial.environment_of("build", "build") / "python", "-m", "build", "--outdir", built, clone)
    shutil.rmtree(folder / "build")
    trial.run("git", "clone", "--quiet", ROOT, folder / "fresh")  # without what building leaves
    return folder / "fresh", built


def recorded(old: Iterable[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All runs, one of each minor version, the newest ones."""

    def minor(run: Mapping[str, Any]) -> tuple[int, ...]:
        return tuple(map(int, run["python"].split(".")[:2]))

    kept = {minor(run): run for run in (*old, *new)}
    return [kept[key] for key in sorted(kept)]


def main() -> int:
    """Runs, prints and records."""
    parser = argparse.ArgumentParser(description="Tries this commit from nothing with several Pythons.")
    parser.add_argument("pythons", nargs="*")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    pythons = options.pythons or found(os.environ)
    if not pythons:
        print(f"tried: none; no Python besides {platform.python_version()} was found (PYTHONS names some)")
        return 0
    unfit = [python for python in pythons if version_of(python) is None]
    if unfit:
        print(f"no Python 3.11 or newer with venv: {', '.join(unfit)}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        clone, built = build(Path(folder))
        runs = [try_python(python, built, clone, options.quick) for python in pythons]
    if options.record:
        old = json.loads(EVIDENCE.read_text())["runs"] if EVIDENCE.exists() else []
        EVIDENCE.write_text(json.dumps({"runs": recorded(old, runs)}, indent=1) + "\n")
    failed = [run["python"] for run in runs if "failed" in run["steps"].values()]
    results = (f"{run['python']} {'failed' if run['python'] in failed else 'ok'}" for run in runs)
    print(f"\ntried: {', '.join(results)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
