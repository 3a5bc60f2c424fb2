"""Where `reshape`, `transpose` and `index` are checked."""

import numpy as np

from .case import Case, Cases


def _reshape(rng):
    x = rng.normal(size=(2, 5, 3))
    return (
        Case("merge axes", (x,), {"shape": (10, 3)}),
        Case("split axes", (x,), {"shape": (2, 5, 3, 1)}),
        Case("a size of -1", (x,), {"shape": (6, -1)}),
        Case("transposed view", (x.T,), {"shape": (5, 6)}),
        Case("empty batch", (x[:0],), {"shape": (0, 15)}, allow=("empty",)),
    )


def _transpose(rng):
    x = rng.normal(size=(2, 5, 3, 4))
    return (
        Case("reversed", (x,)),
        Case("a cycle of axes", (x,), {"axes": (1, 2, 0, 3)}),
        Case("negative axes", (x,), {"axes": (0, -2, -3, 3)}),
        Case("strided view", (x[:, ::-1],), {"axes": (3, 0, 1, 2)}),
        Case("empty batch", (x[:0],), {"axes": (1, 0, 2, 3)}, allow=("empty",)),
    )


def _index(rng):
    x = rng.normal(size=(4, 5, 3))
    return (
        Case("a row", (x,), {"index": 2}),
        Case("slices", (x,), {"index": (slice(1, None), slice(None, None, -2))}),
        Case("repeated rows", (x,), {"index": np.array([3, 0, 3, 3])}),
        Case("pairs", (x,), {"index": (np.array([0, 2, 2]), np.array([4, 1, 1]))}),
        Case("a mask", (x,), {"index": x[..., 0] > 0}),
        Case("a new axis", (x,), {"index": (Ellipsis, None, 0)}),
    )


CASES: dict[str, Cases] = {"reshape": _reshape, "transpose": _transpose, "index": _index}
