"""Tensors in .safetensors files, read by name and only when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes as ml_dtypes  # teaches NumPy the name "bfloat16", which safetensors asks for
import numpy as np
from safetensors import SafetensorError, safe_open

from cudagraph.errors import DescriptionError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


class Checkpoint(Mapping[str, np.ndarray]):
    """The tensors of a .safetensors file, of an index of several, or of a folder that holds one of both.

    A mapping from names to arrays; each look-up reads that tensor from the file. Nothing is ever unpickled.
    `DescriptionError` names the file and what is wrong with it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._shards: dict[Path, Any] = {}
        self._files = self._find()

    def __getitem__(self, name: str) -> np.ndarray:
        file = self._files[name]
        try:
            return self._open(file).get_tensor(name)
        except (SafetensorError, OSError, TypeError, AttributeError) as error:
            raise _malformed(file, f"{name} cannot be read: {error}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, without reading it."""
        return tuple(self._open(self._files[name]).get_slice(name).get_shape())

    def dtype(self, name: str) -> str:
        """A tensor's element type as the file spells it, such as "BF16"."""
        return self._open(self._files[name]).get_slice(name).get_dtype()

    def _find(self) -> dict[str, Path]:
        path = self.path
        if path.is_dir():
            path = next((path / name for name in (INDEX, SINGLE) if (path / name).is_file()), path)
            if path == self.path:
                raise DescriptionError(f"{path} holds neither {SINGLE} nor {INDEX}; only safetensors files are read")
        if path.suffix == ".json":
            return self._from_index(path)
        return dict.fromkeys(self._names(path), path)

    def _from_index(self, index: Path) -> dict[str, Path]:
        table = read_json(index).get("weight_map")
        if not isinstance(table, dict) or not all(isinstance(file, str) for file in table.values()):
            raise _malformed(index, 'its "weight_map" is no table from names of tensors to names of files')
        for file in set(table.values()):
            if file in ("", ".", "..") or "\\" in file or "\0" in file or Path(file).name != file:
                raise _malformed(index, f"{file!r} is not the name of a file beside it")
        held = {file: set(self._names(index.parent / file)) for file in sorted(set(table.values()))}
        for name, file in table.items():
            if name not in held[file]:
                raise _malformed(index, f"it says that {file} holds {name}, which it does not")
        return {name: index.parent / file for name, file in table.items()}

    def _names(self, file: Path) -> list[str]:
        return list(self._open(file).keys())

    def _open(self, file: Path) -> Any:
        if file not in self._shards:
            try:
                self._shards[file] = safe_open(file, framework="np")
            except FileNotFoundError:
                raise DescriptionError(f"there is no file {file}") from None
            except (SafetensorError, OSError, ValueError) as error:
                raise _malformed(file, str(error)) from None
        return self._shards[file]


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; `DescriptionError` names the file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DescriptionError(f"there is no file {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _malformed(path, str(error)) from None
    if not isinstance(found, dict):
        raise _malformed(path, f"a JSON object is wanted, not a {type(found).__name__}")
    return found


def _malformed(file: Path, reason: str) -> DescriptionError:
    return DescriptionError(f"{file} is malformed: {reason}")
