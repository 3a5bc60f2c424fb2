"""Where `ffn` is checked."""

from .case import Case, Cases


def _ffn(rng):
    parameters = rng.normal(size=(3, 7)), rng.normal(size=7), rng.normal(size=(7, 3)), rng.normal(size=3)
    x = rng.normal(size=(2, 5, 3))
    return (
        Case("tanh GELU", (x, *parameters), sizes={"B": 2, "T": 5, "C": 3, "F": 7}),
        Case("ReLU", (x, *parameters), {"activation": "relu"}),
        Case("exact GELU", (x, *parameters), {"activation": "gelu-exact"}),
        Case("one row", (x[0, 0], *parameters)),
        Case("strided view", (rng.normal(size=(3, 10, 2)).T[:, ::-2], *parameters)),
        Case("empty batch", (x[:0], *parameters), zero=("w1", "b1", "w2", "b2"), allow=("empty",)),
    )


CASES: dict[str, Cases] = {"ffn": _ffn}
