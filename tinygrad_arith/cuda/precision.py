"""How exactly float32 numbers are multiplied on the GPU: one setting for matrix products and attention.

Tensor cores multiply numbers of at most 11 significant bits. "tf32" rounds float32 to that (float32's range, an error
of up to 5e-4 of a number) and adds up in float32: several times faster. "float32" keeps all 24 bits. bfloat16 arrays
are not concerned: their products are exact, and the sums are float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ..ops.registry import forget_plans

CHOICES = ("float32", "tf32")

_float32_products = "float32"


def float32_products() -> str:
    """The setting: one of `CHOICES`."""
    return _float32_products


def set_float32_products(name: str) -> None:
    """Changes the setting, for the whole process. Raises ValueError."""
    global _float32_products
    if name not in CHOICES:
        raise ValueError(f"float32 products {name!r}: must be one of {', '.join(CHOICES)}")
    _float32_products = name
    forget_plans()  # attention chooses its kernel by the setting


@contextmanager
def float32_products_as(name: str) -> Iterator[None]:
    """Inside, the setting is this one."""
    before = _float32_products
    set_float32_products(name)
    try:
        yield
    finally:
        set_float32_products(before)
