"""How exactly float32 numbers are multiplied on the GPU: one setting for GEMM and attention.

Tensor cores multiply numbers of at most 11 significant bits. "tf32" rounds float32 to that (float32's range, an error
of up to 5e-4 of a number) and adds up in float32: several times faster. "float32" keeps all 24 bits. It does not
concern bfloat16 arrays: products of their numbers are exact in float32, and the sums are float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ..ops.registry import forget_plans

CHOICES = ("float32", "tf32")

_matmul_precision = "float32"


def float32_matmul_precision() -> str:
    """The setting: one of `CHOICES`."""
    return _matmul_precision


def set_float32_matmul_precision(name: str) -> None:
    """Changes the setting, for the whole process. Raises ValueError."""
    global _matmul_precision
    if name not in CHOICES:
        raise ValueError(f"float32 matmul precision {name!r}: must be one of {', '.join(CHOICES)}")
    _matmul_precision = name
    forget_plans()  # attention chooses its kernel by the setting


@contextmanager
def float32_matmul_precision_as(name: str) -> Iterator[None]:
    """Inside, the setting is this one."""
    before = _matmul_precision
    set_float32_matmul_precision(name)
    try:
        yield
    finally:
        set_float32_matmul_precision(before)
