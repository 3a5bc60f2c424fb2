"""`linear`: where it is checked, and wrong backwards. Cache: x (..., Cin), weight (Cin, Cout), has_bias."""

from ..case import Case, Cases
from ..mutant import Mutant, changed, misread, negated, one_element_wrong, ones_cotangent, scaled


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


def bias_of_last_row(backward, dy, cache):
    """dbias takes one row instead of summing over all of them."""
    gradients = backward(dy, cache)
    rows = dy.reshape(-1, dy.shape[-1])  # (N, Cout)
    return (*gradients[:2], rows[-1].copy()) if cache.has_bias and len(rows) else gradients


def mean_over_rows(backward, dy, cache):
    """The parameter gradients are means over the positions."""
    dx, *rest = backward(dy, cache)
    return (dx, *(gradient / max(1, dy.size // dy.shape[-1]) for gradient in rest))


def transposed_weight(backward, dy, cache):
    """dx goes through the weight read in the wrong order."""
    return backward(dy, cache._replace(weight=misread(cache.weight)))


def no_sum_over_batch(backward, dy, cache):
    """dweight counts the last batch entry only."""
    gradients = backward(dy, cache)
    if dy.ndim < 2 or not len(dy):
        return gradients
    return (gradients[0], backward(dy[-1], cache._replace(x=cache.x[-1]))[1], *gradients[2:])


MUTANTS: dict[str, dict[str, Mutant]] = {
    "linear": {
        "dbias without the sum over rows": bias_of_last_row,
        "dweight of the last batch entry only": no_sum_over_batch,
        "means over rows instead of sums": mean_over_rows,
        "weight not transposed in dx": transposed_weight,
        "dweight transposed": changed(1, misread),
        "dx with the wrong sign": negated(0),
        "dy not used": ones_cotangent,
        "dweight scaled by 1.001": scaled(1),
        "one element of dx scaled by 1.001": one_element_wrong(0),
    }
}
