"""config.json of a Hugging Face model folder: what a model needs of it, and an error for what is not supported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from cudagraph.errors import DescriptionError

from .checkpoint import read_json

V = TypeVar("V")

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "relu6": "relu6",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "mish": "mish",
    "hardswish": "hardswish",
}
"""Our names of the activations that configurations name."""


class Config:
    """The values of a configuration by name, checked as they are asked for. `DescriptionError` names file and value."""

    def __init__(self, values: Mapping[str, Any], path: Path | None = None) -> None:
        self.values = values
        self.path = path

    @classmethod
    def read(cls, folder: Path) -> Config:
        """The configuration in a model folder."""
        path = folder / "config.json"
        return cls(read_json(path), path)

    def count(self, name: str, default: int | None = None) -> int:
        """A whole number above 0."""
        value = self._given(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(name, "a whole number above 0")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A number above 0."""
        value = self._given(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise self.error(name, "a number above 0")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or False."""
        value = self._given(name, default)
        if not isinstance(value, bool):
            raise self.error(name, "true or false")
        return value

    def counts(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers above 0."""
        value = self._given(name, None)
        if not isinstance(value, list) or not value or not all(type(item) is int and item > 0 for item in value):
            raise self.error(name, "a list of whole numbers above 0")
        return tuple(value)

    def pair(self, name: str, default: int) -> tuple[int, int]:
        """A size given as one number or two."""
        if isinstance(self.values.get(name), list):
            sizes = self.counts(name)
            return sizes[0], sizes[-1]
        size = self.count(name, default)
        return size, size

    def choice(self, name: str, choices: Mapping[Any, V], default: Any) -> V:
        """What a value stands for, of those that are supported."""
        value = self._given(name, default)
        if not isinstance(value, (str, int, bool)) or value not in choices:
            raise self.error(name, " or ".join(map(repr, choices)))
        return choices[value]

    def require(self, **values: Any) -> None:
        """These have to be absent, or what is given here: nothing else is supported."""
        for name, wanted in values.items():
            if self.values.get(name, wanted) != wanted:
                raise self.error(name, repr(wanted))

    def error(self, name: str, supported: str) -> DescriptionError:
        """What to raise for a value that is not supported."""
        where = f"{self.path}: " if self.path else ""
        given = "is missing" if name not in self.values else f"= {self.values[name]!r} is not supported"
        return DescriptionError(f"{where}{name} {given}; what works is {supported}")

    def _given(self, name: str, default: Any) -> Any:
        value = self.values.get(name)
        return default if value is None else value
