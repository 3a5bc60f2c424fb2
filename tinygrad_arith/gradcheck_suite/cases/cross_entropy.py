"""Where `cross_entropy_sum` and `cross_entropy` are checked."""

import numpy as np

from .case import Case, Cases


def _cross_entropy(rng):
    logits = rng.normal(size=(2, 5, 7))  # (B, T, V)
    targets = np.array([[3, -1, 0, 6, 6], [-1, 2, 2, -1, 5]])  # (B, T)
    return (
        Case("ignored targets", (logits, targets), sizes={"B": 2, "T": 5, "V": 7, "counted": 7}),
        Case("all counted", (logits, np.abs(targets))),
        Case("large logits", (8 * logits, targets)),
        Case("rows", (logits[0], targets[0])),
        Case("another ignored id", (logits, np.abs(targets)), {"ignore_index": 6}),
        Case("strided view", (rng.normal(size=(7, 5, 4)).T[::2], targets)),
        Case("nothing counted", (logits, np.full((2, 5), -1)), zero=("logits",)),
        Case("empty batch", (logits[:0], targets[:0]), allow=("empty",)),
    )


def _cross_entropy_sum(rng):
    weighted = Case(
        "weights", (rng.normal(size=(2, 5, 7)), np.array([[3, -1, 0, 6, 6], [1, 2, 2, -1, 5]])),
        {"weights": rng.uniform(0.2, 2.0, (2, 5))},
    )  # fmt: skip
    return (*_cross_entropy(rng), weighted)


CASES: dict[str, Cases] = {"cross_entropy_sum": _cross_entropy_sum, "cross_entropy": _cross_entropy}
