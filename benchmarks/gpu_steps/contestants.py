"""The contestants by name. Heavy imports happen when one is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

OURS = "ours"


class Contestant(Protocol):
    """What ours and each rival provide. tokens, targets: int64 (B, T), target -1 bears no loss."""

    note: str

    def loss_and_gradients(self, tokens: np.ndarray, targets: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
        """The loss of a batch and all gradients under our names in our layout, without an update."""

    def enqueue(self, tokens: np.ndarray, targets: np.ndarray) -> None:
        """Starts one whole training step."""

    def losses(self) -> list[float]:
        """The losses of the steps since the last call, before their updates."""

    def close(self) -> None:
        """Lets the memory go."""


@dataclass(frozen=True)
class Variant:
    """One contestant; `make(configuration, weights, precision)`. family: "ours" or "torch"."""

    name: str
    family: str
    describe: str
    make: Callable[[Any, Mapping[str, np.ndarray], str], Contestant]


def _ours(graph: bool) -> Callable[..., Contestant]:
    def make(*arguments: Any) -> Contestant:
        from .ours import OurStep

        return OurStep(*arguments, graph)

    return make


def _torch(name: str) -> Callable[..., Contestant]:
    def make(*arguments: Any) -> Contestant:
        from . import torch_steps

        return getattr(torch_steps, name)(*arguments)

    return make


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(OURS, "ours", "this project, as `train` runs it: the whole step one CUDA graph", _ours(True)),
        Variant("torch-eager", "torch", "PyTorch eager, AdamW(fused=True)", _torch("TorchStep")),
        Variant(
            "torch-compile", "torch", 'torch.compile(mode="reduce-overhead"), AdamW(fused=True)', _torch("Compiled")
        ),
        Variant("torch-graph", "torch", "PyTorch, the whole step one CUDA graph, AdamW(fused=True)", _torch("Graphed")),
        Variant("ours-eager", "ours", "this project, the same step without a graph", _ours(False)),
    )
}
DEFAULT_VARIANTS = ("ours", "torch-eager", "torch-compile", "torch-graph")
