"""The contestants by name, and how each is made. Heavy imports happen in the worker that wants them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Variant:
    """One contestant.

    describe:    what it is, in a line
    make:        called in the worker with the number of threads; ImportError means that it is not installed
    family:      "ours", "torch" or "jax"
    environment: set before the worker starts
    """

    name: str
    family: str
    describe: str
    make: Callable[[int], Any]
    environment: dict[str, str] = field(default_factory=dict)


def _ours(threads: int) -> Any:
    from .ours import Ours

    return Ours(threads)


def _torch(**options: Any) -> Callable[[int], Any]:
    def make(threads: int) -> Any:
        from .torch_gpt import TorchRival

        return TorchRival(threads, **options)

    return make


def _jax(threads: int) -> Any:
    from .jax_gpt import JaxRival

    return JaxRival(threads)


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("ours", "ours", "this project, as `train` runs it", _ours),
        Variant("torch-fused", "torch", "PyTorch eager, AdamW(fused=True)", _torch(fused=True)),
        Variant("torch-default", "torch", "PyTorch eager, AdamW as it comes", _torch()),
        Variant("torch-compile", "torch", "torch.compile, AdamW(fused=True)", _torch(fused=True, compiled=True)),
        Variant("jax", "jax", "JAX, the whole step under jit, buffers donated", _jax),
        Variant(
            "ours-numpy",
            "ours",
            "this project, as `train` runs it with NumPy alone",
            _ours,
            {"TINYGRAD_ARITH_CPU": "numpy"},
        ),
        Variant(
            "ours-reference",
            "ours",
            "this project, reference operations only",
            _ours,
            {"TINYGRAD_ARITH_REFERENCE": "1"},
        ),
    )
}
DEFAULT_VARIANTS = ("ours", "torch-fused", "torch-default", "torch-compile", "jax")


def find_variant(name: str) -> Variant:
    """A variant by its name. Raises ValueError, which names the known ones."""
    if name not in VARIANTS:
        raise ValueError(f"{name!r}: no such variant; there are {', '.join(VARIANTS)}")
    return VARIANTS[name]
