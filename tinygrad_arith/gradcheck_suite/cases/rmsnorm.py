"""Where `rmsnorm` is checked."""

from .case import Case, Cases


def _rmsnorm(rng):
    x, weight = rng.normal(size=(2, 5, 3)), rng.normal(size=3)
    wide = rng.normal(size=(2, 3, 7)), rng.normal(size=7)
    return (
        Case("(B, T, C)", (x, weight), sizes={"B": 2, "T": 5, "C": 3}),
        Case("wide rows far from 0", (wide[0] * 3 + 10, wide[1])),
        Case("large eps", wide, options={"eps": 0.5}),
        Case("one position", (wide[0][0, 0], wide[1])),
        Case("strided views", (rng.normal(size=(7, 3, 2)).T, rng.normal(size=14)[::2])),
        Case("empty batch", (x[:0], weight), zero=("weight",), allow=("empty",)),
    )


CASES: dict[str, Cases] = {"rmsnorm": _rmsnorm}
