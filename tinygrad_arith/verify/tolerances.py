"""The one table of tolerances, by purpose, dtype and device. Tests take theirs from here and write no literals
of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["TOLERANCES", "Tolerance", "tolerance"]


HIDES = 5.0  # times the relative bound: what rounding may hide of an entry


@dataclass(frozen=True)
class Tolerance:
    """How far a number may lie from the expected one, and why.

    Both conditions must hold, with M the largest absolute entry of the expected array:

    - `|error| <= largest * M`: the scale of the whole array;
    - `|error| <= relative * |expected| + floor * M`: each element for itself, so that one wrong small entry, or
      a factor of 1.0005 on one entry, is seen beside large right ones.

    `zero` is the size allowed where every expected entry is 0 (in units of the largest cotangent in gradient checks).
    `hidden` is for expected values that are known up to rounding only. An error that is not seen, but may hide there,
    still counts as right up to `hidden * M` (at least `floor * M`) and five times `relative * |expected|`.
    """

    largest: float
    relative: float
    floor: float
    zero: float
    reason: str
    hidden: float = 0.0

    def describe(self) -> str:
        """The two conditions in one line."""
        each = f"{self.relative:g} of each entry + {self.floor:g} of the largest"
        return f"{self.largest:g} of the largest entry, and {each}"

    def bound(self, expected: np.ndarray) -> np.ndarray:
        """The largest allowed absolute error for each element of `expected` (same shape, float64)."""
        magnitude = np.abs(np.asarray(expected, dtype=np.float64))
        largest = magnitude.max(initial=0.0)
        if largest == 0.0:
            return np.full(magnitude.shape, self.zero)
        return self.bound_beside(magnitude, largest, largest)

    def bound_beside(self, magnitude: np.ndarray, largest: float, beside: np.ndarray | float) -> np.ndarray:
        """The same for given sizes of entries: with the largest of all, and the largest that each one is beside."""
        return np.minimum(self.largest * largest, self.relative * magnitude + self.floor * beside)

    def hidden_beside(self, magnitude: np.ndarray, largest: np.ndarray | float) -> np.ndarray:
        """How far off an entry may be at most, what rounding hides included, to count as right."""
        return HIDES * self.relative * magnitude + max(self.floor, self.hidden) * largest


def _uniform(size: float, reason: str) -> Tolerance:
    """A tolerance that only looks at the largest entry of the array."""
    return Tolerance(largest=size, relative=size, floor=size, zero=size, reason=reason)


TOLERANCES: dict[str, Tolerance] = {
    # purpose/dtype/device
    "differences/float64/any": Tolerance(
        1e-7,
        1e-5,
        1e-12,
        1e-9,
        "a float64 backward rounds at 1e-16, long sums lose two digits; a relative 1e-5 rejects a factor of 1.0005 "
        "fifty times over; what rounding may hide is 1e-9 of the largest entry, ten times the error of one difference",
        hidden=1e-9,
    ),
    "differences/float32/any": Tolerance(
        5e-5,
        2e-4,
        5e-6,
        1e-5,
        "a float32 backward against float64 differences: float32 rounds at 6e-8, sums of some hundred terms lose "
        "two digits; a factor of 1.0005 is still rejected",
    ),
    "differences/float16/any": _uniform(2e-2, "float16 rounds at 5e-4; gradients lose one more digit and a half"),
    "differences/bfloat16/any": _uniform(8e-2, "bfloat16 rounds at 4e-3; gradients lose one more digit"),
    "module/float64/any": Tolerance(
        1e-7,
        1e-5,
        1e-11,
        1e-8,
        "differences of one scalar loss, a sum over all targets: the rounding of the whole sum is divided by the step",
        hidden=1e-8,
    ),
    "module/float32/any": Tolerance(
        2e-4,
        1e-3,
        5e-5,
        1e-5,
        "a float32 model against float64 differences: rounding grows with depth",
    ),
    "projection/float64/any": Tolerance(
        1e-8,
        1e-8,
        1e-8,
        1e-8,
        "a projection sums errors of all elements; in units of what their signs leave of them; one element of some "
        "thousands that is a thousandth off makes 1e-5; rounding may hide 1e-6",
        hidden=1e-6,
    ),
    "projection/float32/any": _uniform(1e-3, "float32 rounding of every element adds up in a projection"),
    "reference/float64/cpu": _uniform(1e-12, "another order of summation, nothing else"),
    "reference/float32/cpu": _uniform(
        1e-5, "float32 rounds at 6e-8; another order of summation over some hundred terms"
    ),
    "reference/float64/cuda": _uniform(1e-11, "another order of summation and the GPU's own exp, tanh and erf"),
    "reference/float32/cuda": _uniform(2e-5, "fused multiply-add, another order of summation, the GPU's own exp"),
    "reference/bfloat16/cuda": _uniform(2e-2, "bfloat16 rounds at 4e-3; sums are kept in float32"),
    "float32/float32/cpu": _uniform(2e-5, "the float32 reference against the float64 reference on the same numbers"),
    "torch/float64/cpu": _uniform(1e-10, "the same formula in another library, in float64"),
    "torch/float32/cpu": _uniform(2e-5, "the same formula in another library, in float32"),
    "identity/float64/cpu": _uniform(
        1e-12, "two formulations of the same operation (blockwise and standard attention, fused and composed)"
    ),
    "identity/float32/cpu": _uniform(1e-5, "two formulations of the same operation, in float32"),
    "kv_cache/float64/cpu": _uniform(1e-12, "decoding with a cache does the sums of the full forward, row by row"),
    "kv_cache/float32/cpu": _uniform(2e-5, "the same in float32, where the greedy tokens must still agree"),
    "half_batches/float64/cpu": _uniform(1e-12, "two half batches sum to the whole batch up to the order of summation"),
    "half_batches/float32/cpu": _uniform(1e-5, "two half batches against the whole one, in float32"),
}


def tolerance(purpose: str, dtype: object = "float64", device: str = "cpu") -> Tolerance:
    """The entry of the table for a purpose ("differences", "torch", "kv_cache", ...), a dtype and a device.

    An entry for device "any" serves every device. An unknown combination is a KeyError that lists the known ones.
    """
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    name = "float64" if name == np.dtype(np.longdouble).name else name  # differences are taken in float64
    for where in (device, "any"):
        if f"{purpose}/{name}/{where}" in TOLERANCES:
            return TOLERANCES[f"{purpose}/{name}/{where}"]
    raise KeyError(f"no tolerance for {purpose}/{name}/{device}; the table has {', '.join(TOLERANCES)}")
