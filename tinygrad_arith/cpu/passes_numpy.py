"""The element-wise passes of a step, in place where nobody else needs the array: NumPy alone.

Each function has a twin of the same name in `passes_numba`, which does it in one compiled loop. All arrays are
C-contiguous and of one floating dtype; N rows, C channels, T positions.
"""

import numpy as np

from ..ops.gelu import CUBIC, SQRT_2_OVER_PI

ADAMW_BLOCK = 16_384  # elements: five arrays of this size stay in the second-level cache


def layernorm_forward(x, weight, bias, eps, y, mean, rstd):  # x, y (N, C); weight, bias (C,); mean, rstd (N,)
    """Fills y, mean and rstd."""
    np.mean(x, axis=1, out=mean)
    np.subtract(x, mean[:, None], out=y)
    np.einsum("nc,nc->n", y, y, out=rstd)
    rstd *= 1.0 / x.shape[1]
    rstd += eps
    np.sqrt(rstd, out=rstd)
    np.reciprocal(rstd, out=rstd)
    y *= rstd[:, None]
    y *= weight
    y += bias


def layernorm_backward(dy, x, mean, rstd, weight, dx, dweight, dbias):  # dy, x, dx (N, C); mean, rstd (N,); others (C,)
    """Fills dx; adds to dweight and dbias."""
    normalized = x - mean[:, None]  # (N, C)
    normalized *= rstd[:, None]
    column_sum(dy, dbias, True)
    dweight += np.einsum("nc,nc->c", dy, normalized)
    np.multiply(dy, weight, out=dx)  # dnormalized
    through_variance = np.einsum("nc,nc->n", dx, normalized) / x.shape[1]  # (N,)
    through_mean = dx.mean(axis=1)  # (N,)
    normalized *= through_variance[:, None]
    dx -= normalized
    dx -= through_mean[:, None]
    dx *= rstd[:, None]


def add_bias(y, bias):  # y (N, C); bias (C,)
    """y += bias."""
    y += bias


def column_sum(dy, out, add):  # dy (N, C); out (C,)
    """out = the sums over the rows, or out += them: a product with ones; `sum(axis=0)` is several times slower."""
    ones = np.ones(len(dy), dtype=dy.dtype)
    if add:
        out += np.matmul(ones, dy)
    else:
        np.matmul(ones, dy, out=out)


def bias_relu(h, bias):  # h (N, C); bias (C,)
    """h = max(h + bias, 0)."""
    h += bias
    np.maximum(h, 0.0, out=h)


def relu_backward(da, a):  # da, a (N, C)
    """da = 0 where a, the activation, is 0."""
    da *= a > 0


def bias_gelu(h, bias, slope):  # h, slope (N, C); bias (C,)
    """h = gelu(h + bias), tanh form; slope = its derivative, which is all the backward needs."""
    h += bias
    square = h * h  # (N, C)
    np.multiply(square, SQRT_2_OVER_PI * CUBIC, out=slope)
    slope += SQRT_2_OVER_PI
    slope *= h  # u
    tanh = np.tanh(slope, out=slope)
    square *= 3.0 * SQRT_2_OVER_PI * CUBIC
    square += SQRT_2_OVER_PI  # du/dh
    square *= h
    square *= 0.5 * (1.0 - tanh * tanh)  # h/2 (1 - tanh²) du/dh
    tanh += 1.0
    tanh *= 0.5  # (1 + tanh) / 2
    h *= tanh
    slope += square  # slope is tanh's array


def causal_softmax(scores, scale):  # scores (M, Tq, Tk)
    """scores = softmax(scores * scale) over the keys that a query may see: those not behind it."""
    _, queries, keys = scores.shape
    hidden = np.triu(np.full((queries, keys), -np.inf, dtype=scores.dtype), k=keys - queries + 1)  # (Tq, Tk)
    scores *= scale
    scores += hidden
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)


def softmax_backward(dp, p, scale):  # dp, p (M, Tq, Tk)
    """dp = p (dp - sum(p dp)) scale: the gradient of the unscaled scores."""
    row_sum = np.einsum("mqk,mqk->mq", dp, p)  # (M, Tq)
    dp -= row_sum[..., None]
    dp *= p
    dp *= scale


def softmax_loss(logits, targets, probabilities, losses):  # logits, probabilities (N, V); targets, losses (N,)
    """Fills probabilities = softmax(logits) and losses = -log probabilities[target]."""
    np.subtract(logits, logits.max(axis=-1, keepdims=True), out=probabilities)
    target_logits = probabilities[np.arange(len(logits)), targets]  # (N,)
    np.exp(probabilities, out=probabilities)
    total = probabilities.sum(axis=-1)  # (N,)
    np.log(total, out=losses)
    losses -= target_logits
    probabilities *= (1.0 / total)[:, None]


def embedding_backward(dy, ids, dtable):  # dy (N, C); ids (N,); dtable (V, C), zero
    """dtable[ids] += dy."""
    np.add.at(dtable, ids, dy)


def adamw(values, gradients, first, second, decay_until, rates):  # all arrays (N,)
    """One AdamW update in place, block by block; `rates` as `optim.adamw` makes them."""
    beta1, beta2, mean_scale, spread_scale, eps, kept, gradient_scale = rates
    scratch = np.empty(min(ADAMW_BLOCK, len(values)), dtype=values.dtype)
    for start in range(0, len(values), ADAMW_BLOCK):
        block = slice(start, min(start + ADAMW_BLOCK, len(values)))
        p, g, m, v = values[block], gradients[block], first[block], second[block]
        work = scratch[: len(p)]
        m *= beta1
        m += np.multiply(g, gradient_scale * (1.0 - beta1), out=work)
        v *= beta2
        np.multiply(g, g, out=work)
        work *= gradient_scale * gradient_scale * (1.0 - beta2)
        v += work
        np.sqrt(v, out=work)
        work *= spread_scale
        work += eps
        np.divide(m, work, out=work)
        work *= mean_scale
        p[: max(decay_until - start, 0)] *= kept
        p -= work
