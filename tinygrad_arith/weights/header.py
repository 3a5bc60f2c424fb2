"""What a safetensors file says that it holds: read with care, since it may be damaged or a stranger's.

8 bytes             N, the length of the header, little-endian
N bytes             JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {...}}
the rest            the numbers, row by row, one tensor behind the other without a gap
"""

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..files.reading import LARGEST_JSON, is_table_of_texts, is_whole, parse_json, reading, shown
from ..options.errors import UserError
from .dtypes import BITS

METADATA = "__metadata__"
MOST_AXES = 16
MOST_NUMBERS = 2**59  # of a tensor: their bytes can be counted in 63 bits


class Stored(NamedTuple):
    """A tensor of a file: where it lies, from which byte to which."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


class Header(NamedTuple):
    """The tensors of a file by name, and what else it says about itself."""

    tensors: dict[str, Stored]
    metadata: dict[str, str]


class Mapped(NamedTuple):
    """A file that was opened: what its header says, all its bytes, and what it was when the header was read."""

    header: Header
    data: np.ndarray  # uint8
    status: os.stat_result


def open_file(path: Path) -> Mapped:
    """A file with its header, checked. Raises UserError, one sentence, for whatever is no whole safetensors file.

    The bytes are mapped together with the header: a file that takes its name afterwards is another one.
    """
    try:
        with reading(path), open(path, "rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(8)
            length = int.from_bytes(data, "little")
            check_length(length, status.st_size)
            header = parse_header(path, file.read(length), status.st_size - 8 - length)
            return Mapped(header, np.asarray(np.memmap(file, np.uint8, "r")), status)
    except ValueError as error:
        raise UserError(f"{path}: not a safetensors file: {error}") from error


def check_length(length: int, size: int) -> None:
    """Raise ValueError unless a file of this size can have a header of this length."""
    if size < 8:
        raise ValueError(f"it has {size} bytes, less than any")
    if length > size - 8:
        raise ValueError(f"its header would be {length:,} bytes long, and the file has {size:,}")
    if length > LARGEST_JSON:
        raise ValueError(f"its header is {length:,} bytes long, and at most {LARGEST_JSON:,} are read")


def parse_header(path: Path, data: bytes, size: int) -> Header:
    """The header that is this JSON, of a file with `size` bytes of numbers. Raises ValueError for any other."""
    table = parse_json(data)
    if not isinstance(table, dict):
        raise ValueError("its header is no table")
    metadata = table.pop(METADATA, {})
    if not is_table_of_texts(metadata):
        raise ValueError(f"its {METADATA} is no table of texts")
    begin = 8 + len(data)
    tensors = {name: stored_tensor(path, name, entry, begin) for name, entry in table.items()}
    check_order(tensors, begin, size)
    return Header(tensors, metadata)


def stored_tensor(path: Path, name: str, entry: Any, begin: int) -> Stored:
    """What an entry of a header tells; `begin` is where the numbers begin. Raises ValueError where it is strange."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise ValueError(f"{shown(name)} is not a table of dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise ValueError(f"{shown(name)} has the dtype {shown(dtype)}, which there is not")
    if not isinstance(shape, list) or len(shape) > MOST_AXES or not all(map(is_whole, shape)):
        raise ValueError(f"{shown(name)} has the shape {shown(shape)}, not a list of at most {MOST_AXES} sizes")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(is_whole, offsets)):
        raise ValueError(f"{shown(name)} has the data_offsets {shown(offsets)}, not two whole numbers")
    bits = BITS[dtype] * math.prod(shape)
    if bits % 8 or offsets[1] - offsets[0] != bits // 8:
        raise ValueError(
            f"{shown(name)}, {dtype} {shape}, has {bits / 8:,.0f} bytes, not from {offsets[0]} to {offsets[1]}"
        )
    if math.prod(max(size, 1) for size in shape) > MOST_NUMBERS:  # which NumPy refuses of an empty tensor, too
        raise ValueError(f"{shown(name)} has the shape {shown(shape)}, which is too large")
    return Stored(path, dtype, tuple(shape), begin + offsets[0], begin + offsets[1])


def check_order(tensors: dict[str, Stored], begin: int, size: int) -> None:
    """Raise ValueError unless the tensors lie one behind the other, and fill the file."""
    end = begin
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1][3:]):
        if tensor.start != end:
            what = "overlaps what is before it" if tensor.start < end else "leaves a gap before it"
            raise ValueError(f"{shown(name)} {what}")
        end = tensor.stop
    if end != begin + size:
        raise ValueError(f"its tensors have {end - begin:,} bytes, and {size:,} are there")
