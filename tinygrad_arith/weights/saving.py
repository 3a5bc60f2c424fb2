"""The weights of a module as safetensors files, under its own names or another program's.

Numbers are written in blocks, so that little memory is needed beside the model's own. The files appear when all of them
are whole; where one cannot be written, what was there stays. Of several files the index comes last: without it they are
nothing.
"""

import glob
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_numpy
from ..files.reading import is_whole
from ..files.writing import TEMPORARY_SUFFIX, Replacement
from ..nn import Module
from ..nn.misfits import listed, printable
from ..options.arguments import place, plain, require
from ..options.errors import UserError
from .arguments import check_model, check_names, check_table, some_names
from .dtypes import BITS, NAMES, as_stored, blocks
from .header import METADATA, check_length, parse_header
from .mapping import Chosen, Names, Piece, is_chosen, pieces_of
from .ranges import last_axis, left_over, part_of, within
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
                raise UserError(f"{printable(self.name)}: holds numbers too large for {self.dtype}") from None


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

    Parameters that are tied are written once. What an earlier `save` left at the same place is replaced when the new
    files are whole, so that the disk holds both for a while. Returns the paths of all files, the index last. Raises
    UserError for arguments that cannot be right, numbers beyond the dtype's range, and a parameter that `names` splits
    into pieces that are not all of it; OSError for a disk that takes no more.
    """
    path = place("path", path)
    named = path.name.endswith(SUFFIX)
    directory, stem = (path.parent, path.name.removesuffix(SUFFIX)) if named else (path, STEM)
    shards = shards_of(model, names=names, transpose=transpose, dtype=dtype, shard_bytes=shard_bytes, metadata=metadata)
    with Replacement(directory) as files:
        return write_shards(files, stem, shards)


class Shard(NamedTuple):
    """What one file is to hold."""

    header: bytes
    tensors: list[Tensor]


def shards_of(
    model: Module,
    *,
    names: Names = None,
    transpose: Chosen = (),
    dtype: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    metadata: Mapping[str, str] | None = None,
) -> list[Shard]:
    """What `save` is to write, a file each; nothing is written yet. Raises UserError for what cannot be written."""
    check_model(model)
    check_names(names)
    check_table("metadata", metadata)
    if dtype is not None and not (isinstance(dtype, str) and dtype in NAMES):
        raise UserError(f"no dtype {dtype!r}: it must be one of {', '.join(NAMES)}")
    shard_bytes = plain(shard_bytes)
    require("shard_bytes", shard_bytes, is_whole(shard_bytes, 1), "a whole number of bytes, 1 or more")
    transpose = some_names("transpose", transpose, or_function=True)
    tensors = tensors_of(model, names, transpose, dtype)
    note = {"format": "pt"} | dict(metadata or {})  # what other readers ask for
    return [Shard(header_of(part, note), part) for part in divided(tensors, shard_bytes)]


def write_shards(files: Replacement, stem: str, shards: list[Shard]) -> list[Path]:
    """Writes files of weights, and for several of them the index; those of before are to go. Returns their paths."""
    count, single = len(shards), len(shards) == 1
    numbered = [f"{stem}-{number:05d}-of-{count:05d}{SUFFIX}" for number in range(1, count + 1)]
    names = [stem + SUFFIX] if single else numbered
    for name, shard in zip(names, shards, strict=True):
        with open(files.path(name), "wb") as file:
            file.write(len(shard.header).to_bytes(8, "little") + shard.header)
            for block in (block for tensor in shard.tensors for block in tensor.data()):
                file.write(block.reshape(-1).view(np.uint8).data)
    if not single:
        weight_map = {tensor.name: name for name, shard in zip(names, shards, strict=True) for tensor in shard.tensors}
        total = {"total_size": sum(tensor.nbytes for shard in shards for tensor in shard.tensors)}
        names.append(stem + INDEX_SUFFIX)
        files.write_json(names[-1], {"metadata": total, "weight_map": weight_map})
    files.remove(files_of(files.directory, stem))
    return [files.directory / name for name in names]


def files_of(directory: Path, stem: str) -> list[str]:
    """The names of what a `save` to a place leaves, finished or not: the index, the single file, and shards."""
    digits = "[0-9]" * 5
    endings = [INDEX_SUFFIX, SUFFIX, f"-{digits}-of-{digits}{SUFFIX}"]
    endings += [ending + TEMPORARY_SUFFIX for ending in endings]
    return [
        path.name for end in endings for path in sorted(directory.glob(glob.escape(stem) + end)) if not path.is_dir()
    ]


def tensors_of(model: Module, names: Names, transpose: Chosen, dtype: str | None) -> list[Tensor]:
    """What a file of a model holds; wide numbers first, so that each lies at a multiple of its size.

    Raises UserError where a name is given that there is not, or a parameter would be written in part only.
    """
    parameters = model._settled_parameters()
    if isinstance(names, Mapping):
        refuse_unknown("names", names, model.all_names(), "parameter")
    parts: dict[str, list[tuple[Piece, Any]]] = {}
    for name, parameter in parameters.items():
        pieces = pieces_of(names, name)
        for piece, taken in split(name, parameter.stored, pieces):
            parts.setdefault(str(piece.name), []).append((piece, taken))
    if not callable(transpose):
        refuse_unknown("transpose", transpose, parts, "tensor")
    tensors = [joined(name, of, is_chosen(transpose, name), dtype) for name, of in parts.items()]
    return sorted(tensors, key=lambda tensor: -BITS[tensor.dtype])  # a stable sort


def refuse_unknown(argument: str, given: Collection[str], known: Collection[str], what: str) -> None:
    """Raise UserError for names that there are not."""
    unknown = [printable(name) for name in given if name not in known]
    if unknown:
        raise UserError(f"{argument}: there is no {what} {listed(unknown)}")


def split(name: str, array: Any, pieces: list[Piece]) -> Iterator[tuple[Piece, Any]]:
    """The pieces of a parameter that are written, with their numbers. Raises UserError where they do not make it up."""
    for piece in pieces:
        if not within(array.shape, piece.of):
            raise UserError(f"{name} is {array.shape}, and {piece.of} of its last axis is to be {piece.name}")
        if piece.name is not None:
            yield piece, array if piece.of is None else array[..., slice(*piece.of)]
    rest = left_over(array.shape, [piece.of for piece in pieces]) if pieces else None
    if rest:
        raise UserError(f"{name} is {array.shape}, and {rest[0]} to {rest[1]} of its last axis are written nowhere")


def joined(name: str, parts: list[tuple[Piece, Any]], transposed: bool, dtype: str | None) -> Tensor:
    """A tensor of these parts. Raises UserError where they leave a gap, or two would be written to one place."""
    parts = sorted(parts, key=lambda part: part[0].into or (0, 0))
    arrays = [array for _, array in parts]
    first, end = arrays[0], 0
    for piece, array in parts:
        start, stop = piece.into or (0, last_axis(array.shape))
        if start != end or array.shape[:-1] != first.shape[:-1] or part_of(array.shape, piece.into) != array.shape:
            raise UserError(f"{printable(name)}: is written from parameters that do not lie one behind the other")
        end = stop
    if name == METADATA:
        raise UserError(f"{name}: is no name for a tensor")
    shape = (*first.shape[:-1], end) if first.ndim else ()
    code = NAMES[dtype or np.result_type(*(array.dtype for array in arrays)).name]
    return Tensor(name, code, shape[::-1] if transposed else shape, arrays, transposed)


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


def header_of(tensors: list[Tensor], metadata: Mapping[str, str]) -> bytes:
    """The header of a file, padded. Raises UserError for one that could not be read again."""
    header: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    end = 0
    for tensor in tensors:
        offsets = [end, end := end + tensor.nbytes]
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": offsets}
    try:
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % ALIGNMENT)
        check_length(len(text), 8 + len(text) + end)
        parse_header(Path(), text, end)
    except ValueError as error:
        raise UserError(f"the names and metadata of these weights cannot be written: {error}") from error
    return text
