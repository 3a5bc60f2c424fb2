"""Where `linear` is checked."""

from .case import Case, Cases


def _linear(rng):
    x, weight, bias = rng.normal(size=(2, 5, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)
    return (
        Case("(B, T, C)", (x, weight, bias), sizes={"B": 2, "T": 5, "Cin": 3, "Cout": 4}),
        Case("no bias", (x, weight, None)),
        Case("rows", (x[0], weight, bias)),
        Case("one row", (rng.normal(size=3), weight, bias)),
        Case("strided views", (rng.normal(size=(3, 5, 2)).T, rng.normal(size=(4, 3)).T, rng.normal(size=8)[::-2])),
        Case("empty batch", (x[:0], weight, bias), zero=("weight", "bias"), allow=("empty",)),
    )


CASES: dict[str, Cases] = {"linear": _linear}
