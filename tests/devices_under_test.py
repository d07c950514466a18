"""How tests open the device they run on."""

from __future__ import annotations

from typing import Any


def open_device(name: str) -> Any:
    """ "host" and "cuda" as they are; "emulated" is the cuda device on the emulated driver."""
    if name != "emulated":
        return name
    from emulated_device import open_emulated_device  # put on the path by tests/driver when it starts this suite

    return open_emulated_device()
