"""The same initial weights and batches for all, as files. Run in a process of its own: nobody's memory counts it.

python -m cpu_rivals.inputs DIRECTORY < configuration.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from . import settings
from .configurations import Configuration

WEIGHTS, BATCHES = "weights.npz", "batches.npz"


def make_batches(configuration: Configuration) -> tuple[np.ndarray, np.ndarray]:
    """Random tokens and targets, int64 (N, B, T) each; a target is the next token, -1 where no loss is borne."""
    rng = np.random.default_rng(settings.SEED)
    shape = (settings.BATCHES, configuration.batch, configuration.positions + 1)
    rows = rng.integers(0, configuration.vocabulary, shape)  # (N, B, T + 1)
    tokens, targets = rows[..., :-1].copy(), rows[..., 1:].copy()  # (N, B, T)
    targets[..., : configuration.prompt] = -1
    return tokens, targets


def write_inputs(configuration: Configuration, directory: Path) -> None:
    """Writes our initialised model's weights, (in, out), and the batches."""
    from .ours import build_model  # here: rivals read from this file, and are not to load our package

    model = build_model(configuration).initialize(seed=settings.SEED)
    np.savez(directory / WEIGHTS, **{name: p.array for name, p in model.named_parameters().items()})
    tokens, targets = make_batches(configuration)
    np.savez(directory / BATCHES, tokens=tokens, targets=targets)


def read_batches(directory: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """(tokens, targets), int64 (B, T) each, for every batch."""
    with np.load(directory / BATCHES) as stored:
        return list(zip(stored["tokens"], stored["targets"], strict=True))


if __name__ == "__main__":
    write_inputs(Configuration(**json.load(sys.stdin)), Path(sys.argv[1]))
