"""Where `layernorm` is checked."""

from .case import Case, Cases


def _layernorm(rng):
    x, weight, bias = rng.normal(size=(2, 5, 3)), rng.normal(size=3), rng.normal(size=3)
    wide = rng.normal(size=(2, 3, 7)), rng.normal(size=7), rng.normal(size=7)
    return (
        Case("(B, T, C)", (x, weight, bias), sizes={"B": 2, "T": 5, "C": 3}),
        Case("wide rows far from 0", (wide[0] * 3 + 10, *wide[1:])),
        Case("large eps", wide, options={"eps": 0.5}),
        Case("one position", (wide[0][0, 0], *wide[1:])),
        Case("strided views", (rng.normal(size=(7, 3, 2)).T, rng.normal(size=14)[::2], rng.normal(size=7)[::-1])),
        Case("empty batch", (x[:0], weight, bias), zero=("weight", "bias"), allow=("empty",)),
    )


CASES: dict[str, Cases] = {"layernorm": _layernorm}
