"""The element-wise passes of a step, in place where nobody else needs the array: NumPy alone.

Each function has one of the same name in `passes_numba`, which does it in one compiled loop. NumPy reads and writes
its arrays once for every operator; so the longer ones go block by block, each of which stays in a core's own cache from
the first operator to the last. All arrays are C-contiguous and of one floating dtype; N rows, C channels, T positions.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np

from ..ops.gelu import CUBIC, SQRT_2_OVER_PI
from ..ops.silu import logistic
from .gemm import gemm

BLOCK = 32_768  # elements: few calls, and half a dozen arrays of this size stay in the second-level cache
WIDE, TALL = 2048, 64  # terms that a product may add up: its rounding grows with their number
FAR = 100.0  # beyond it tanh is 1 or -1 in GELU, and its slope 0
FEW = 16  # rows whose sum is not worth a product
UPDATE_BLOCK = 262_144  # more: threads that share the update meet at every call


def blocks(rows: int, row_elements: int, elements: int = BLOCK) -> Iterator[slice]:
    """Parts of range(rows) of about so many elements."""
    step = max(elements // max(row_elements, 1), 1)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def row_means(x, average, out=None):  # x (n, C); average (C,), each 1 / C -> (n,)
    """The means of the rows: a matrix product, or in long rows NumPy's mean, whose rounding grows with log C only."""
    return np.matmul(x, average, out=out) if len(average) <= WIDE else np.mean(x, axis=-1, out=out)


def layernorm_forward(x, weight, bias, eps, y, mean, rstd):  # x, y (N, C); weight, bias (C,); mean, rstd (N,)
    """Fills y, mean and rstd."""
    average = np.full(x.shape[1], 1.0 / x.shape[1], dtype=x.dtype)  # (C,)
    for part in blocks(*x.shape):
        out = y[part]  # (n, C)
        row_means(x[part], average, out=mean[part])
        np.subtract(x[part], mean[part, None], out=out)
        spread = row_means(out * out, average, out=rstd[part])  # (n,)
        spread += eps
        np.sqrt(spread, out=spread)
        np.reciprocal(spread, out=spread)
        out *= spread[:, None]
        out *= weight
        out += bias


def layernorm_backward(dy, x, mean, rstd, weight, dx, dweight, dbias):  # dy, x, dx (N, C); mean, rstd (N,); others (C,)
    """Fills dx; adds to dweight and dbias."""
    average = np.full(x.shape[1], 1.0 / x.shape[1], dtype=x.dtype)  # (C,)
    sums, totals = np.empty((2, x.shape[1]), dtype=x.dtype), np.zeros((2, x.shape[1]))  # (2, C): of a block, of all
    for part in blocks(*x.shape):
        gradient, out = dy[part], dx[part]  # (n, C)
        normalized = x[part] - mean[part, None]  # (n, C)
        normalized *= rstd[part, None]
        column_sum(gradient, sums[0], False)
        np.multiply(gradient, normalized, out=out)
        column_sum(out, sums[1], False)
        totals += sums
        out *= weight
        through_variance = row_means(out, average)  # (n,)
        np.multiply(gradient, weight, out=out)  # dnormalized
        through_mean = row_means(out, average)  # (n,)
        normalized *= through_variance[:, None]
        out -= normalized
        out -= through_mean[:, None]
        out *= rstd[part, None]
    dbias += totals[0]
    dweight += totals[1]


def rmsnorm_forward(x, weight, eps, y, rrms):  # x, y (N, C); weight (C,); rrms (N,)
    """Fills y and rrms."""
    average = np.full(x.shape[1], 1.0 / x.shape[1], dtype=x.dtype)  # (C,)
    for part in blocks(*x.shape):
        out = np.multiply(x[part], x[part], out=y[part])  # (n, C)
        scale = row_means(out, average, out=rrms[part])  # (n,)
        scale += eps
        np.sqrt(scale, out=scale)
        np.reciprocal(scale, out=scale)
        np.multiply(x[part], scale[:, None], out=out)
        out *= weight


def rmsnorm_backward(dy, x, rrms, weight, dx, dweight):  # dy, x, dx (N, C); rrms (N,); others (C,)
    """Fills dx; adds to dweight."""
    average = np.full(x.shape[1], 1.0 / x.shape[1], dtype=x.dtype)  # (C,)
    sums, total = np.empty(x.shape[1], dtype=x.dtype), np.zeros(x.shape[1])  # (C,): of a block, of all
    for part in blocks(*x.shape):
        gradient, out = dy[part], dx[part]  # (n, C)
        normalized = x[part] * rrms[part, None]  # (n, C)
        np.multiply(gradient, normalized, out=out)
        column_sum(out, sums, False)
        total += sums
        out *= weight
        through_mean_square = row_means(out, average)  # (n,)
        np.multiply(gradient, weight, out=out)  # dnormalized
        normalized *= through_mean_square[:, None]
        out -= normalized
        out *= rrms[part, None]
    dweight += total


def turn(x, y, turned, index, cos, sin, halves):  # x, y (N, NH, HS); index (N,); cos, sin (P, W/2)
    """y = x with the pairs of the first `turned` heads turned by the angles of their row's place, index[n].

    A pair is read as a complex number: turning it is one multiplication.
    """
    kind, width = np.result_type(x.dtype, np.complex64), 2 * cos.shape[1]
    turns = np.stack([cos, sin], axis=-1).view(kind)  # (P, W/2, 1)
    for part in blocks(len(x), x.shape[1] * x.shape[2]):
        angles = turns[index[part], None, :, 0]  # (n, 1, W/2)
        old, new = x[part, :turned, :width], y[part, :turned, :width]  # (n, turned, W)
        if halves:
            first, second = np.split(old, 2, axis=-1)  # (n, turned, W/2) each
            new[..., : width // 2] = first * angles.real - second * angles.imag
            new[..., width // 2 :] = first * angles.imag + second * angles.real
        else:
            np.multiply(old.view(kind), angles, out=new.view(kind))
        y[part, :turned, width:] = x[part, :turned, width:]
        y[part, turned:] = x[part, turned:]


def add_bias(y, bias):  # y (N, C); bias (C,)
    """y += bias."""
    y += bias


def column_sum(dy, out, add):  # dy (N, C); out (C,)
    """out = the sums over the rows, or out += them: a matrix product with ones; `sum(axis=0)` is several times slower.

    Many rows are taken k side by side first, (N / k, k C), so that each sum has TALL terms at most; then those k.
    """
    while len(dy) > TALL:
        beside = -(-len(dy) // TALL)  # k
        whole = len(dy) - len(dy) % beside
        wide = dy[:whole].reshape(whole // beside, -1)  # (N / k, k C)
        sums = np.matmul(ones(len(wide), dy.dtype), wide).reshape(beside, -1)  # (k, C)
        dy = np.concatenate([sums, dy[whole:]]) if whole < len(dy) else sums
    if len(dy) > FEW:
        gemm(ones(len(dy), dy.dtype), dy, out[None], add)
    elif add:
        out += np.add.reduce(dy, axis=0)
    else:
        np.add.reduce(dy, axis=0, out=out)


@cache
def ones(count: int, dtype) -> np.ndarray:  # (1, count)
    """A row of ones, for sums; there are few of them, and short ones."""
    return np.ones((1, count), dtype)


def bias_relu(h, bias):  # h (N, C); bias (C,)
    """h = max(h + bias, 0)."""
    h += bias
    np.maximum(h, 0.0, out=h)


def relu_backward(da, a):  # da, a (N, C)
    """da = 0 where a, the activation, is 0."""
    da *= a > 0


def bias_gelu(h, bias, slope):  # h, slope (N, C); bias (C,)
    """h = gelu(h + bias), tanh form; slope = its derivative, which is all the backward needs."""
    for part in blocks(*h.shape):
        _bias_gelu(h[part], bias, slope[part])


def _bias_gelu(h, bias, slope):
    h += bias
    near = np.clip(h, -FAR, FAR)  # (n, C), whose square is a number, too; NaN stays NaN
    square = near * near  # (n, C)
    np.multiply(square, SQRT_2_OVER_PI * CUBIC, out=slope)
    slope += SQRT_2_OVER_PI
    slope *= near  # u
    tanh = np.tanh(slope, out=slope)
    square *= 3.0 * SQRT_2_OVER_PI * CUBIC
    square += SQRT_2_OVER_PI  # du/dh
    square *= near
    rest = np.multiply(tanh, tanh, out=near)  # (n, C)
    rest *= -0.5
    rest += 0.5
    square *= rest  # h/2 (1 - tanh²) du/dh
    tanh += 1.0
    tanh *= 0.5  # (1 + tanh) / 2
    h *= tanh
    slope += square  # slope is tanh's array


def silu_gate(hidden, product):  # hidden (N, 2F); product (N, F)
    """product = silu(gate) up, where hidden is [gate | up]."""
    gate, up = np.split(hidden, 2, axis=1)  # (N, F) each
    np.multiply(gate, logistic(gate), out=product)
    product *= up


def silu_gate_backward(dproduct, hidden, dhidden):  # dproduct (N, F); hidden, dhidden (N, 2F)
    """dhidden = [dproduct up silu'(gate) | dproduct silu(gate)]."""
    gate, up = np.split(hidden, 2, axis=1)  # (N, F) each
    dgate, dup = np.split(dhidden, 2, axis=1)  # (N, F) each
    s = logistic(gate)  # (N, F)
    np.multiply(gate, s, out=dup)
    dup *= dproduct
    near = np.clip(gate, -FAR, FAR)  # (N, F)
    np.multiply(near, logistic(-near), out=dgate)
    dgate += 1.0
    dgate *= s
    dgate *= up
    dgate *= dproduct


def causal_softmax(scores, scale):  # scores (M, Tq, Tk)
    """scores = softmax(scores * scale) over the keys that a query may see: those not behind it."""
    count, queries, keys = scores.shape
    hidden = np.triu(np.ones((queries, keys), dtype=bool), k=keys - queries + 1)  # (Tq, Tk)
    most = np.where(hidden, -np.inf, np.nan).astype(scores.dtype)  # (Tq, Tk): `fmin` takes what is a number
    for part in blocks(count, queries * keys):
        weights = scores[part]  # (m, Tq, Tk)
        weights *= scale
        np.fmin(weights, most, out=weights)  # not added: NaN or infinity behind a query would reach it
        weights -= weights.max(axis=-1, keepdims=True)
        np.exp(weights, out=weights)
        weights *= np.reciprocal(weights.sum(axis=-1, keepdims=True))


def masked_softmax(scores, scale, shown, causal):  # scores (M, Tq, Tk); shown (B, Tk) bool, B a divisor of M
    """scores = softmax(scores * scale) over the keys that are shown, if causal those not behind a query; zeros where a
    query sees none.
    """
    count, queries, keys = scores.shape
    heads = count // len(shown)
    earlier = np.tri(queries, keys, keys - queries, dtype=bool) if causal else np.ones((1, keys), dtype=bool)
    for row in range(len(shown)):
        weights = scores[row * heads : (row + 1) * heads]  # (heads, Tq, Tk)
        weights *= scale
        np.copyto(weights, -np.inf, where=~(earlier & shown[row]))
        largest = weights.max(axis=-1, keepdims=True)  # (heads, Tq, 1)
        weights -= np.where(largest == -np.inf, 0.0, largest)
        np.exp(weights, out=weights)
        total = weights.sum(axis=-1, keepdims=True)  # (heads, Tq, 1)
        weights /= np.where(total == 0.0, 1.0, total)


def softmax_backward(dp, p, scale):  # dp, p (M, Tq, Tk)
    """dp = p (dp - sum(p dp)) scale: the gradient of the unscaled scores."""
    count, queries, keys = p.shape
    for part in blocks(count, queries * keys):
        gradient, weights = dp[part], p[part]  # (m, Tq, Tk)
        row_sum = np.einsum("mqk,mqk->mq", gradient, weights)  # (m, Tq)
        gradient -= row_sum[..., None]
        gradient *= weights
        gradient *= scale


def softmax_loss(logits, targets, weights, probabilities, losses):  # logits, probabilities (N, V); others (N,)
    """Fills probabilities = softmax(logits) and losses = -log probabilities[target], of zeros where the weight is 0."""
    for part in blocks(*logits.shape):
        out = probabilities[part]  # (n, V)
        with np.errstate(invalid="ignore"):  # infinities: in a row that does not count they are of no concern
            np.subtract(logits[part], logits[part].max(axis=-1, keepdims=True), out=out)
        out[weights[part] == 0] = 0.0
        target_logits = out[np.arange(len(out)), targets[part]]  # (n,)
        np.exp(out, out=out)
        total = out.sum(axis=-1)  # (n,)
        np.log(total, out=losses[part])
        losses[part] -= target_logits
        out *= (1.0 / total)[:, None]


def embedding_backward(dy, ids, dtable):  # dy (N, C); ids (N,); dtable (V, C), zero
    """dtable[ids] += dy."""
    np.add.at(dtable, ids, dy)


def adamw(values, gradients, first, second, decay_until, rates):  # all arrays (N,)
    """One AdamW update in place, block by block; `rates` as `optim.adamw` makes them."""
    beta1, beta2, mean_scale, spread_scale, eps, kept, gradient_scale = rates
    scratch = np.empty(min(UPDATE_BLOCK, len(values)), dtype=values.dtype)
    for block in blocks(len(values), 1, UPDATE_BLOCK):
        p, g, m, v = values[block], gradients[block], first[block], second[block]
        work = scratch[: len(p)]
        m *= beta1
        m += np.multiply(g, gradient_scale * (1.0 - beta1), out=work)
        v *= beta2
        np.multiply(g, gradient_scale * (1.0 - beta2) ** 0.5, out=work)  # first: g² may be too large
        work *= work
        v += work
        np.sqrt(v, out=work)
        work *= spread_scale
        work += eps
        np.divide(m, work, out=work)
        work *= mean_scale
        p[: max(decay_until - block.start, 0)] *= kept
        p -= work


def sgd(values, gradients, velocity, decay_until, rates, nesterov):  # all arrays (N,); velocity may be None
    """One update of SGD in place, block by block; `rates` as `optim.sgd` makes them. Rounds as the reference does."""
    scratch = np.empty((2, min(UPDATE_BLOCK, len(values))), dtype=values.dtype)  # (2, n)
    for block in blocks(len(values), 1, UPDATE_BLOCK):
        p, g = values[block], gradients[block]
        update, work = scratch[:, : len(p)]
        decayed = max(decay_until - block.start, 0)
        np.multiply(g, rates.gradient_scale, out=update)
        if rates.penalty:
            update[:decayed] += np.multiply(p[:decayed], rates.penalty, out=work[: len(p[:decayed])])
        if velocity is not None:
            v = velocity[block]
            v *= rates.momentum
            v += np.multiply(update, rates.fresh, out=work)
            np.multiply(v, rates.momentum, out=work)
            update = np.add(update, work, out=update) if nesterov else v
        p[:decayed] *= rates.kept
        p -= np.multiply(update, rates.rate, out=work)


def lion(values, gradients, first, decay_until, rates):  # all arrays (N,)
    """One update of Lion in place, block by block; `rates` as `optim.lion` makes them. Rounds as the reference does."""
    scratch = np.empty((3, min(UPDATE_BLOCK, len(values))), dtype=values.dtype)  # (3, n)
    for block in blocks(len(values), 1, UPDATE_BLOCK):
        p, m = values[block], first[block]
        scaled, direction, work = scratch[:, : len(p)]
        np.multiply(m, rates.beta1, out=direction)
        np.multiply(gradients[block], rates.gradient_scale, out=scaled)
        direction += np.multiply(scaled, 1.0 - rates.beta1, out=work)
        p[: max(decay_until - block.start, 0)] *= rates.kept
        np.sign(direction, out=direction)
        direction *= rates.rate
        p -= direction
        m *= rates.beta2
        m += np.multiply(scaled, 1.0 - rates.beta2, out=work)
