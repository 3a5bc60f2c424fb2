"""The same initial weights and batches for all, as files. Run in a process of its own: nobody's memory counts it.

python -m cpu_rivals.inputs DIRECTORY < configuration.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from . import settings
from .configurations import Configuration

WEIGHTS, BATCHES = "weights.npz", "batches.npz"
NEAR_KINK = 5e-6  # of the root mean square: float32 rounding in another order may carry such a number across zero


def make_batches(configuration: Configuration) -> tuple[np.ndarray, np.ndarray]:
    """Random tokens and targets, int64 (N, B, T) each; a target is the next token, -1 where no loss is borne."""
    rng = np.random.default_rng(settings.SEED)
    shape = (settings.BATCHES, configuration.batch, configuration.positions + 1)
    rows = rng.integers(0, configuration.vocabulary, shape)  # (N, B, T + 1)
    tokens, targets = rows[..., :-1].copy(), rows[..., 1:].copy()  # (N, B, T)
    targets[..., : configuration.prompt] = -1
    return tokens, targets


def write_inputs(configuration: Configuration, directory: Path) -> None:
    """Writes our initialised model's weights, (in, out), the batches, and the targets for the check of the first."""
    from .ours import build_model  # here: rivals read from this file, and are not to load our package

    model = build_model(configuration).initialize(seed=settings.SEED)
    np.savez(directory / WEIGHTS, **{name: p.array for name, p in model.named_parameters().items()})
    tokens, targets = make_batches(configuration)
    checked = targets[0].copy()  # (B, T)
    if configuration.activation == "relu":
        checked[near_kink(model, tokens[0])] = -1
    np.savez(directory / BATCHES, tokens=tokens, targets=targets, checked=checked)


def near_kink(model: Any, tokens: np.ndarray) -> np.ndarray:
    """Which examples bring a hidden unit so near to ReLU's kink that rounding decides its gradient: (B,) bool.

    They bear no loss in the check: libraries that add up in another order rightly disagree about them.
    """
    from tinygrad_arith.autograd import no_grad
    from tinygrad_arith.nn import observe_outputs

    near = np.zeros(len(tokens), dtype=bool)  # (B,)
    up = {id(block.ffn_norm): block.ffn.up for block in model.blocks}

    def look(module: Any, out: Any) -> None:
        if id(module) in up:
            linear = up[id(module)]
            hidden = out.array @ linear.weight.array + linear.bias.array  # (B, T, F)
            size = np.sqrt(np.mean(hidden * hidden))
            near[:] |= (np.abs(hidden) < NEAR_KINK * size).any(axis=(1, 2))

    with no_grad(), observe_outputs(look):
        model(tokens)
    return near


def read_checked(directory: Path) -> tuple[np.ndarray, np.ndarray]:
    """(tokens, targets), int64 (B, T) each, of the batch on which everybody must agree."""
    with np.load(directory / BATCHES) as stored:
        return stored["tokens"][0], stored["checked"]


def read_batches(directory: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """(tokens, targets), int64 (B, T) each, for every batch."""
    with np.load(directory / BATCHES) as stored:
        return list(zip(stored["tokens"], stored["targets"], strict=True))


if __name__ == "__main__":
    write_inputs(Configuration(**json.load(sys.stdin)), Path(sys.argv[1]))
