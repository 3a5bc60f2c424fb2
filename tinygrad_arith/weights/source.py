"""Where weights come from: a safetensors file, several of them with an index, or a directory that holds either.

Nothing is read but what is asked for: the files are mapped into memory, and their pages belong to the system's cache.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Union

import numpy as np

from ..files.reading import is_table_of_texts, read_json, reading, shown
from ..nn.misfits import printable
from ..options import arguments
from ..options.errors import UserError
from .dtypes import NUMBERS, as_numbers
from .header import Header, Mapped, Stored, open_file

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

    A file is mapped when it is opened: whatever takes its name afterwards, the numbers are those of the header that was
    checked.

    tensors:  by name, all that the files hold
    metadata: what a single file says about itself
    path:     that of the file or the index

    Raises UserError, one sentence, for a file that is missing, damaged or no such file.
    """

    def __init__(self, place: "str | os.PathLike[str]"):
        self.path = weights_file(arguments.path("source", place))
        self._mapped: dict[Path, Mapped] = {}
        self.metadata: dict[str, str] = {}
        if self.path.name.endswith(INDEX_SUFFIX):
            self.tensors = self._of_index()
        else:
            self.tensors, self.metadata = self._opened(self.path)

    @classmethod
    def of(cls, place: Place) -> "Source":
        """The source at a place, or itself."""
        return place if isinstance(place, Source) else cls(place)

    def stored(self, name: str) -> np.ndarray:
        """A tensor as it lies in the file, mapped and not to be written to; bfloat16 as its bits, uint16."""
        if name not in self.tensors:
            raise KeyError(f"{self.path} has no tensor {name!r}")
        tensor = self.tensors[name]
        if tensor.dtype not in NUMBERS:
            raise UserError(f"{tensor.path}: {shown(name)} is {tensor.dtype}, which is not read here")
        there = self._bytes(tensor.path)[tensor.start : tensor.stop]
        return there.view(NUMBERS[tensor.dtype]).reshape(tensor.shape)

    def __getitem__(self, name: str) -> np.ndarray:
        """A tensor as an array that is not to be written to: the file's own bytes, or a copy in float32 of bfloat16.

        Raises KeyError, which names the file, for a tensor that it does not have.
        """
        return as_numbers(self.stored(name), self.tensors[name].dtype)

    def _opened(self, path: Path) -> Header:
        self._mapped[path] = open_file(path)
        return self._mapped[path].header

    def _bytes(self, path: Path) -> np.ndarray:
        """A whole file, as it was when its header was read. Raises UserError where it was written to since."""
        _, data, before = self._mapped[path]
        with suppress(OSError):
            now = os.stat(path)
            same = (now.st_dev, now.st_ino) == (before.st_dev, before.st_ino)  # else the file mapped has no name now
            if same and (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                raise UserError(f"{path}: was written to since it was opened; open it again")
        return data

    def _of_index(self) -> dict[str, Stored]:
        """The tensors of all files that the index names. Raises UserError for what is no such index."""
        weight_map = read_weight_map(self.path)
        files = {file: self.path.parent / file for file in weight_map.values()}
        for file, path in files.items():
            if file in ("", ".", "..") or "/" in file or "\\" in file or "\0" in file or ":" in file:
                raise UserError(f"{self.path}: names the file {shown(file)}, which is not one beside it")
            if not os.path.isfile(path):
                raise UserError(f"{self.path}: names the file {shown(file)}, which is missing")
        there = {file: self._opened(path).tensors for file, path in files.items()}
        tensors = {name: tensor for held in there.values() for name, tensor in held.items()}  # listed or not
        for name, file in weight_map.items():
            if name not in there[file]:
                raise UserError(f"{self.path}: says that {shown(name)} is in {printable(file)}, which does not have it")
            tensors[name] = there[file][name]
        return tensors


def weights_file(place: Path) -> Path:
    """The file of weights, or the index of several, at a place. Raises UserError if there is none, or not one."""
    if not os.path.isdir(place):  # False, too, for a name that the system refuses
        return place
    for name in (STEM + SUFFIX, STEM + INDEX_SUFFIX):
        if (place / name).exists():
            return place / name
    found = sorted(path for path in place.glob("*" + SUFFIX) if path.is_file())
    if len(found) != 1:
        which = f"has {len(found)} files *{SUFFIX}: name one of them" if found else f"has no file *{SUFFIX}"
        raise UserError(f"{place}: {which}")
    return found[0]


def read_weight_map(path: Path) -> dict[str, str]:
    """Which file an index names for each tensor."""
    with reading(path):
        index: Any = read_json(path, "an index of safetensors files")
    weight_map: Any = index.get("weight_map") if isinstance(index, dict) else None
    if not is_table_of_texts(weight_map):
        raise UserError(f"{path}: not an index of safetensors files: its weight_map is no table of texts")
    return weight_map
