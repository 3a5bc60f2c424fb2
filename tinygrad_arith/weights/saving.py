"""The weights of a module as safetensors files, under its own names or another program's.

Numbers are written in blocks, so that little memory is needed beside the model's own, and each file appears whole or
not at all. Of several files the index is written last: without it they are nothing.
"""

import glob
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_numpy
from ..files.writing import atomic_path, write_json
from ..nn import Module
from ..options.errors import UserError
from .dtypes import BITS, NAMES, as_stored, blocks
from .header import METADATA
from .mapping import Chosen, Names, Piece, is_chosen, pieces_of
from .source import INDEX_SUFFIX, STEM, SUFFIX

SHARD_BYTES = 5 * 10**9
ALIGNMENT = 8  # bytes: the numbers begin at a multiple of it


class Tensor(NamedTuple):
    """A tensor that is to be written: from which parts of which parameters, one behind the other on the last axis."""

    name: str
    dtype: str
    shape: tuple[int, ...]  # in the file
    parts: list[Any]  # views of the parameters' arrays, in our order of axes
    transposed: bool

    @property
    def nbytes(self) -> int:
        """How much of the file it takes."""
        return int(np.prod(self.shape, dtype=np.int64)) * BITS[self.dtype] // 8

    def data(self) -> Iterator[np.ndarray]:
        """The numbers as the file has them, in blocks."""
        here = [to_numpy(part) for part in self.parts]
        array = here[0] if len(here) == 1 else np.concatenate(here, axis=-1)
        array = array.T if self.transposed else array
        for block in blocks(array.shape):
            try:
                yield as_stored(array[block], self.dtype)
            except FloatingPointError:
                raise UserError(f"{self.name}: holds numbers too large for {self.dtype}") from None


def save(
    model: Module,
    path: "str | os.PathLike[str]",
    *,
    names: Names = None,
    transpose: Chosen = (),
    dtype: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    metadata: Mapping[str, str] | None = None,
) -> list[Path]:
    """Writes the weights of a model: to a file `*.safetensors`, or as `model.safetensors` into a directory.

    names:       from a parameter's name to that in the file: a mapping or a function; None leaves it out, a `Piece` or
                 several split it or join it with others. See `NameTable.theirs`
    transpose:   the names in the file, or a function that tells them, of matrices to be written the other way round
    dtype:       "float32", "float16", "bfloat16" or "float64"; default: that of each parameter
    shard_bytes: a model of more numbers than that is written as several files with an index, if it has several tensors
    metadata:    texts that the file says about itself

    Parameters that are tied are written once. What an earlier `save` left at the same place is replaced. Returns the
    paths of all files, the index last. Raises UserError for numbers beyond the dtype's range, OSError for a disk that
    takes no more.
    """
    if dtype is not None and dtype not in NAMES:
        raise UserError(f"no dtype {dtype!r}: it must be one of {', '.join(NAMES)}")
    path = Path(path)
    directory, stem = (path.parent, path.name.removesuffix(SUFFIX)) if path.name.endswith(SUFFIX) else (path, STEM)
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory}: there is a file of that name, where the weights' directory is to be")
    directory.mkdir(parents=True, exist_ok=True)
    tensors = tensors_of(model, names, transpose, dtype)
    shards = divided(tensors, shard_bytes)
    note = {"format": "pt"} | dict(metadata or {})  # what other readers ask for
    if len(shards) == 1:
        write_file(directory / (stem + SUFFIX), shards[0], note)
        remove_others(directory, stem, [stem + SUFFIX])
        return [directory / (stem + SUFFIX)]
    remove_others(directory, stem, [])  # files of two models side by side would be worse than none
    files = [f"{stem}-{number:05d}-of-{len(shards):05d}{SUFFIX}" for number in range(1, len(shards) + 1)]
    for file, shard in zip(files, shards, strict=True):
        write_file(directory / file, shard, note)
    weight_map = {tensor.name: file for file, shard in zip(files, shards, strict=True) for tensor in shard}
    total = {"total_size": sum(tensor.nbytes for tensor in tensors)}
    write_json(directory / (stem + INDEX_SUFFIX), {"metadata": total, "weight_map": weight_map})
    return [directory / file for file in (*files, stem + INDEX_SUFFIX)]


def tensors_of(model: Module, names: Names, transpose: Chosen, dtype: str | None) -> list[Tensor]:
    """What a file of a model holds; wide numbers first, so that each lies at a multiple of its size."""
    parts: dict[str, list[tuple[Piece, Any]]] = {}
    for name, parameter in model._settled_parameters().items():
        for piece in pieces_of(names, name):
            stored = parameter.stored
            taken = stored if piece.of is None else stored[..., slice(*piece.of)]
            parts.setdefault(piece.name, []).append((piece, taken))
    tensors = [joined(name, of, is_chosen(transpose, name), dtype) for name, of in parts.items()]
    return sorted(tensors, key=lambda tensor: -BITS[tensor.dtype])  # a stable sort


def joined(name: str, parts: list[tuple[Piece, Any]], transposed: bool, dtype: str | None) -> Tensor:
    """A tensor of these parts. Raises UserError where they leave a gap, or two would be written to one place."""
    parts = sorted(parts, key=lambda part: part[0].into or (0, 0))
    end = 0
    for piece, array in parts:
        start, stop = piece.into or (0, array.shape[-1] if array.ndim else 1)
        if start != end or (array.ndim and stop - start != array.shape[-1]):
            raise UserError(f"{name}: is written from parameters that do not lie one behind the other")
        end = stop
    first = parts[0][1]
    if name == METADATA:
        raise UserError(f"{name}: is no name for a tensor")
    shape = (*first.shape[:-1], end) if first.ndim else ()
    code = NAMES[first.dtype.name if dtype is None else dtype]
    return Tensor(name, code, shape[::-1] if transposed else shape, [array for _, array in parts], transposed)


def divided(tensors: list[Tensor], most: int) -> list[list[Tensor]]:
    """The tensors in order, in files of at most so many bytes, but with a tensor each at least."""
    shards: list[list[Tensor]] = [[]]
    size = 0
    for tensor in tensors:
        if shards[-1] and size + tensor.nbytes > most:
            shards.append([])
            size = 0
        shards[-1].append(tensor)
        size += tensor.nbytes
    return shards


def write_file(path: Path, tensors: list[Tensor], metadata: Mapping[str, str]) -> None:
    """Writes one file."""
    header: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    end = 0
    for tensor in tensors:
        offsets = [end, end := end + tensor.nbytes]
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": offsets}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            for block in tensor.data():
                file.write(block.reshape(-1).view(np.uint8).data)


def remove_others(directory: Path, stem: str, kept: list[str]) -> None:
    """Removes what an earlier `save` to the same place left, the index first."""
    shards = sorted(
        directory.glob(f"{glob.escape(stem)}-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9]{SUFFIX}")
    )
    for path in (directory / (stem + INDEX_SUFFIX), directory / (stem + SUFFIX), *shards):
        if path.name not in kept:
            path.unlink(missing_ok=True)
