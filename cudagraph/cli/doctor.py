"""`cudagraph doctor`: what is installed, found and missing, and what to type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from rich.text import Text

from .checks import Check, Status, cache_checks, compiler_checks, cuda_checks, device_checks, package_checks
from .output import print_json, show, table

_SECTIONS: dict[str, Callable[[], list[Check]]] = {
    "python": package_checks,
    "host": compiler_checks,
    "cuda": cuda_checks,
    "devices": device_checks,
    "cache": cache_checks,
}
_STYLES = {Status.OK: "green", Status.MISSING: "yellow", Status.ERROR: "bold red"}


def run(*, as_json: bool) -> int:
    """Print all checks; the exit code is 1 when a package is missing or no device can run."""
    sections = {name: check() for name, check in _SECTIONS.items()}
    checks = [check for section in sections.values() for check in section]
    healthy = not any(check.status is Status.ERROR for check in checks)
    if as_json:
        print_json({"ok": healthy} | {name: list(map(asdict, section)) for name, section in sections.items()})
    else:
        _print(sections, healthy)
    return 0 if healthy else 1


def _print(sections: dict[str, list[Check]], healthy: bool) -> None:
    listed = table(("", "", "status", "found", "what to do"), ())
    for name, section in sections.items():
        for row, check in enumerate(section):
            status = Text(check.status, style=_STYLES[check.status])
            listed.add_row("" if row else name, check.name, status, check.found, check.advice)
    show(listed, "", "ready: cudagraph demo" if healthy else "not ready: see what to do for the lines marked error")
