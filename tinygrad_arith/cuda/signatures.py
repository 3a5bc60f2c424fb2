"""The parameter lists of kernels, read from their CUDA text: what a launch is checked against.

CUDA itself keeps neither names nor types of a compiled kernel's parameters where a caller could ask for them.
"""

import re
from typing import NamedTuple

import numpy as np


class Parameter(NamedTuple):
    """A parameter of a kernel as its source declares it.

    dtype: what it is, or what it points to; None where that is nothing a launch could check (`void*`, a struct)
    """

    name: str
    declared: str
    pointer: bool
    dtype: np.dtype | None


_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_QUALIFIER = re.compile(r"\b(?:const|volatile|__restrict__|__grid_constant__)\b")
_BALANCED = r"(?:[^()]|\([^()]*\))*"  # with parentheses one level deep
_KERNEL = re.compile(rf"__global__(?:\s|\bvoid\b|__\w+__\s*\({_BALANCED}\))*\b(\w+)\s*\(({_BALANCED})\)")
_PARAMETER = re.compile(r"([\w\s]+?)\s*(\*?)\s*\b(\w+)")
_ALIAS = re.compile(r"\busing\s+(\w+)\s*=\s*([\w\s]+?)\s*;|\btypedef\s+([\w\s]+?)\s+(\w+)\s*;")

_DTYPES = {
    "bool": "bool",
    "char": "int8",
    "signed char": "int8",
    "int8_t": "int8",
    "unsigned char": "uint8",
    "uint8_t": "uint8",
    "int": "int32",
    "int32_t": "int32",
    "unsigned": "uint32",
    "unsigned int": "uint32",
    "uint32_t": "uint32",
    "long long": "int64",
    "int64_t": "int64",
    "unsigned long long": "uint64",
    "uint64_t": "uint64",
    "size_t": "uint64",
    "float": "float32",
    "double": "float64",
}
_BFLOAT16 = ("__nv_bfloat16", "nv_bfloat16")


def kernels_in(texts: list[str]) -> dict[str, str]:
    """The kernels that are defined in plain sight, by name, with their parameter lists as written."""
    return {name: plain for text in texts for name, plain in _KERNEL.findall(_COMMENT.sub(" ", text))}


def parameters_of(texts: list[str], kernel: str, names: dict[str, str]) -> list[Parameter] | None:
    """The parameters of a kernel; None if the list is not written plainly, as where a macro makes it.

    names: what the build's macros, and `element`, stand for; some are C types
    """
    written = kernels_in(texts).get(kernel)
    if written is None:
        return None
    aliases = {**_aliases_in(texts), **names}
    parameters = []
    for part in filter(None, (_QUALIFIER.sub(" ", part).strip() for part in written.split(","))):
        match = _PARAMETER.fullmatch(part)
        if match is None:
            return None
        c_type, star, name = match.groups()
        c_type = " ".join(c_type.split())
        parameters.append(Parameter(name, c_type + star, bool(star), _dtype_of(aliases.get(c_type, c_type))))
    return parameters


def _aliases_in(texts: list[str]) -> dict[str, str]:
    found = [match for text in texts for match in _ALIAS.findall(_COMMENT.sub(" ", text))]
    return {(used or named): " ".join((what or defined).split()) for used, what, defined, named in found}


def _dtype_of(c_type: str) -> np.dtype | None:
    if c_type in _BFLOAT16:
        import ml_dtypes  # only who calls a bfloat16 kernel needs it

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(_DTYPES[c_type]) if c_type in _DTYPES else None
