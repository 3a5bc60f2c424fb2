"""Where weights come from: a safetensors file, several of them with an index, or a directory that holds either.

Nothing is read but what is asked for: the files are mapped into memory, and their pages belong to the system's cache.
"""

import os
from pathlib import Path
from typing import Any, Union

import numpy as np

from ..files.reading import is_table_of_texts, read_json, reading, shown
from ..options.errors import UserError
from .dtypes import NUMBERS, as_numbers
from .header import Header, Stored, read_header

SUFFIX = ".safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
STEM = "model"  # of the files in a directory

Place = Union[str, "os.PathLike[str]", "Source"]


class Source:
    """The tensors of a file, of files with an index, or of a directory, by name.

        source = Source("directory")
        source.tensors["wte.weight"].shape
        source["wte.weight"]          # an array

    A directory has `model.safetensors`, or `model.safetensors.index.json`, or one other file with that ending. A file
    that the index names lies beside it: a name that leads elsewhere is refused. (A link on the disk is followed, as in
    the cache of the Hugging Face hub.)

    tensors:  by name; what several files hold, as the index says
    metadata: what a single file says about itself
    path:     that of the file or the index

    Raises UserError, one sentence, for a file that is missing, damaged or no such file.
    """

    def __init__(self, place: "str | os.PathLike[str]"):
        self.path = weights_file(Path(place))
        self.metadata: dict[str, str] = {}
        if self.path.name.endswith(INDEX_SUFFIX):
            self.tensors = read_index(self.path)
        else:
            self.tensors, self.metadata = read_header(self.path)
        self._mapped: dict[Path, np.ndarray] = {}

    @classmethod
    def of(cls, place: Place) -> "Source":
        """The source at a place, or itself."""
        return place if isinstance(place, Source) else cls(place)

    def stored(self, name: str) -> np.ndarray:
        """A tensor as it lies in the file, mapped and not to be written to; bfloat16 as its bits, uint16."""
        tensor = self.tensors[name]
        if tensor.dtype not in NUMBERS:
            raise UserError(f"{tensor.path}: {shown(name)} is {tensor.dtype}, which is not read here")
        there = self._bytes(tensor.path)[tensor.start : tensor.stop]
        return there.view(NUMBERS[tensor.dtype]).reshape(tensor.shape)

    def __getitem__(self, name: str) -> np.ndarray:
        """A tensor as an array that is not to be written to: the file's own bytes, or a copy in float32 of bfloat16."""
        return as_numbers(self.stored(name), self.tensors[name].dtype)

    def _bytes(self, path: Path) -> np.ndarray:
        """A whole file, mapped."""
        if path not in self._mapped:
            try:
                self._mapped[path] = np.asarray(np.memmap(path, np.uint8, "r"))
            except (OSError, ValueError) as error:
                raise UserError(f"{path}: cannot be read: {error}") from error
        return self._mapped[path]


def weights_file(place: Path) -> Path:
    """The file of weights, or the index of several, at a place. Raises UserError if there is none, or not one."""
    if not place.is_dir():
        return place
    for name in (STEM + SUFFIX, STEM + INDEX_SUFFIX):
        if (place / name).exists():
            return place / name
    found = sorted(path for path in place.glob("*" + SUFFIX) if path.is_file())
    if len(found) != 1:
        which = f"has {len(found)} files *{SUFFIX}: name one of them" if found else f"has no file *{SUFFIX}"
        raise UserError(f"{place}: {which}")
    return found[0]


def read_index(path: Path) -> dict[str, Stored]:
    """The tensors that an index names, each from the file that it says. Raises UserError for what is no such index."""
    weight_map = read_weight_map(path)
    headers: dict[str, Header] = {}
    for file in dict.fromkeys(weight_map.values()):
        if file in ("", ".", "..") or "/" in file or "\\" in file or "\0" in file or ":" in file:
            raise UserError(f"{path}: names the file {shown(file)}, which is not one beside it")
        if not (path.parent / file).is_file():
            raise UserError(f"{path}: names the file {shown(file)}, which is missing")
        headers[file] = read_header(path.parent / file)
    for name, file in weight_map.items():
        if name not in headers[file].tensors:
            raise UserError(f"{path}: says that {shown(name)} is in {file}, which does not have it")
    return {name: headers[file].tensors[name] for name, file in weight_map.items()}


def read_weight_map(path: Path) -> dict[str, str]:
    """Which file an index names for each tensor."""
    with reading(path):
        index: Any = read_json(path, "an index of safetensors files")
    weight_map: Any = index.get("weight_map") if isinstance(index, dict) else None
    if not is_table_of_texts(weight_map):
        raise UserError(f"{path}: not an index of safetensors files: its weight_map is no table of texts")
    return weight_map
