"""The element-wise passes of a step, each one compiled loop: Numba.

Twins of `passes_numpy`, function by function. The loops release Python's lock, so that workers run side by side. They
may be reassociated and contracted (sums in vector lanes, fused multiply-add), which is said here and allowed by the
tolerances; nothing assumes that NaN or infinity cannot occur.
"""

import math

import numba
import numpy as np

from ..ops.gelu import CUBIC, SQRT_2_OVER_PI

compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})

SQRT_2_OVER_PI_32 = np.float32(SQRT_2_OVER_PI)
CUBIC_32 = np.float32(CUBIC)


@compiled
def layernorm_forward(x, weight, bias, eps, y, mean, rstd):
    """Fills y, mean and rstd."""
    rows, channels = x.shape
    one = x.dtype.type(1.0)
    inverse = one / x.dtype.type(channels)
    for n in range(rows):
        total = x.dtype.type(0.0)
        for c in range(channels):
            total += x[n, c]
        middle = total * inverse
        squares = x.dtype.type(0.0)
        for c in range(channels):
            squares += (x[n, c] - middle) * (x[n, c] - middle)
        scale = one / np.sqrt(squares * inverse + x.dtype.type(eps))
        for c in range(channels):
            y[n, c] = (x[n, c] - middle) * scale * weight[c] + bias[c]
        mean[n] = middle
        rstd[n] = scale


@compiled
def layernorm_backward(dy, x, mean, rstd, weight, dx, dweight, dbias):
    """Fills dx; adds to dweight and dbias."""
    rows, channels = x.shape
    inverse = x.dtype.type(1.0) / x.dtype.type(channels)
    for n in range(rows):
        middle, scale = mean[n], rstd[n]
        total = x.dtype.type(0.0)
        along = x.dtype.type(0.0)
        for c in range(channels):
            normalized = (x[n, c] - middle) * scale
            dnormalized = dy[n, c] * weight[c]
            total += dnormalized
            along += dnormalized * normalized
        through_mean, through_variance = total * inverse, along * inverse
        for c in range(channels):
            normalized = (x[n, c] - middle) * scale
            dweight[c] += dy[n, c] * normalized
            dbias[c] += dy[n, c]
            dx[n, c] = scale * (dy[n, c] * weight[c] - through_mean - normalized * through_variance)


@compiled
def rmsnorm_forward(x, weight, eps, y, rrms):
    """Fills y and rrms."""
    rows, channels = x.shape
    one = x.dtype.type(1.0)
    inverse = one / x.dtype.type(channels)
    for n in range(rows):
        squares = x.dtype.type(0.0)
        for c in range(channels):
            squares += x[n, c] * x[n, c]
        scale = one / np.sqrt(squares * inverse + x.dtype.type(eps))
        for c in range(channels):
            y[n, c] = x[n, c] * scale * weight[c]
        rrms[n] = scale


@compiled
def rmsnorm_backward(dy, x, rrms, weight, dx, dweight):
    """Fills dx; adds to dweight."""
    rows, channels = x.shape
    inverse = x.dtype.type(1.0) / x.dtype.type(channels)
    for n in range(rows):
        scale = rrms[n]
        along = x.dtype.type(0.0)
        for c in range(channels):
            along += dy[n, c] * weight[c] * x[n, c] * scale
        through_mean_square = along * inverse
        for c in range(channels):
            normalized = x[n, c] * scale
            dweight[c] += dy[n, c] * normalized
            dx[n, c] = scale * (dy[n, c] * weight[c] - normalized * through_mean_square)


@compiled
def turn(x, y, turned, index, cos, sin):
    """y = x with the pairs of the first `turned` heads turned by the angles of their row's place, index[n]."""
    rows, heads, head_size = x.shape
    for n in range(rows):
        place = index[n]
        for h in range(turned):
            for i in range(head_size // 2):
                first, second = x[n, h, 2 * i], x[n, h, 2 * i + 1]
                y[n, h, 2 * i] = first * cos[place, i] - second * sin[place, i]
                y[n, h, 2 * i + 1] = first * sin[place, i] + second * cos[place, i]
        for h in range(turned, heads):
            for c in range(head_size):
                y[n, h, c] = x[n, h, c]


@compiled
def add_bias(y, bias):
    """y += bias."""
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            y[n, c] += bias[c]


@compiled
def column_sum(dy, out, add):
    """out = the sums over the rows, or out += them."""
    if not add:
        out[:] = 0
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            out[c] += dy[n, c]


@compiled
def bias_relu(h, bias):
    """h = max(h + bias, 0)."""
    zero = h.dtype.type(0.0)
    for n in range(h.shape[0]):
        for c in range(h.shape[1]):
            shifted = h[n, c] + bias[c]
            h[n, c] = zero if shifted < zero else shifted  # a NaN stays a NaN


@compiled
def relu_backward(da, a):
    """da = 0 where the activation is 0."""
    zero = da.dtype.type(0.0)
    for n in range(da.shape[0]):
        for c in range(da.shape[1]):
            da[n, c] = da[n, c] if a[n, c] > zero else zero


@numba.njit(inline="always")
def _tanh32(x):
    """tanh in float32 as a ratio of polynomials, to about 2 units in the last place; vectorises, unlike the library's.

    The coefficients are those of the Eigen library's float `ptanh`, which clamps where tanh rounds to 1.
    """
    x = min(max(x, np.float32(-7.99881172180175781)), np.float32(7.99881172180175781))
    s = x * x
    p = np.float32(-2.76076847742355e-16)
    p = p * s + np.float32(2.00018790482477e-13)
    p = p * s + np.float32(-8.60467152213735e-11)
    p = p * s + np.float32(5.12229709037114e-08)
    p = p * s + np.float32(1.48572235717979e-05)
    p = p * s + np.float32(6.37261928875436e-04)
    p = p * s + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06)
    q = q * s + np.float32(1.18534705686654e-04)
    q = q * s + np.float32(2.26843463243900e-03)
    q = q * s + np.float32(4.89352518554385e-03)
    return x * p / q


@compiled
def bias_gelu(h, bias, slope):
    """h = gelu(h + bias), slope = its derivative."""
    half, one, three = np.float32(0.5), np.float32(1.0), np.float32(3.0)
    for n in range(h.shape[0]):
        for c in range(h.shape[1]):
            x = h[n, c] + bias[c]
            square = CUBIC_32 * x * x
            tanh = _tanh32(SQRT_2_OVER_PI_32 * x * (one + square))
            du = SQRT_2_OVER_PI_32 * (one + three * square)
            h[n, c] = half * x * (one + tanh)
            slope[n, c] = half * (one + tanh) + half * x * (one - tanh * tanh) * du


@compiled
def _shift_visible(scores, scale):
    """Scaled scores minus their largest visible one; -inf where hidden."""
    blocks, queries, keys = scores.shape
    behind = keys - queries
    for m in range(blocks):
        for q in range(queries):
            seen = q + behind + 1
            largest = scores[m, q, 0] * scale
            for k in range(1, seen):
                largest = max(largest, scores[m, q, k] * scale)
            for k in range(seen):
                scores[m, q, k] = scores[m, q, k] * scale - largest
            for k in range(seen, keys):
                scores[m, q, k] = -math.inf


@compiled
def _normalize(weights):
    for m in range(weights.shape[0]):
        for q in range(weights.shape[1]):
            total = weights.dtype.type(0.0)
            for k in range(weights.shape[2]):
                total += weights[m, q, k]
            inverse = weights.dtype.type(1.0) / total
            for k in range(weights.shape[2]):
                weights[m, q, k] *= inverse


def causal_softmax(scores, scale):
    """scores = softmax(scores * scale) over the visible keys."""
    _shift_visible(scores, scores.dtype.type(scale))
    np.exp(scores, out=scores)  # NumPy's is vectorised already
    _normalize(scores)


@compiled
def _softmax_backward(dp, p, scale):
    for m in range(p.shape[0]):
        for q in range(p.shape[1]):
            row_sum = p.dtype.type(0.0)
            for k in range(p.shape[2]):
                row_sum += p[m, q, k] * dp[m, q, k]
            for k in range(p.shape[2]):
                dp[m, q, k] = p[m, q, k] * (dp[m, q, k] - row_sum) * scale


def softmax_backward(dp, p, scale):
    """dp = p (dp - sum(p dp)) scale."""
    _softmax_backward(dp, p, p.dtype.type(scale))


@compiled
def _row_shift(logits, targets, weights, probabilities, losses):
    """Logits minus the row's largest; losses = minus the target's. Zeros where the weight is 0."""
    for n in range(logits.shape[0]):
        if weights[n] == 0.0:
            for v in range(logits.shape[1]):
                probabilities[n, v] = 0.0
            losses[n] = 0.0
            continue
        largest = logits[n, 0]
        for v in range(1, logits.shape[1]):
            largest = max(largest, logits[n, v])
        for v in range(logits.shape[1]):
            probabilities[n, v] = logits[n, v] - largest
        losses[n] = largest - logits[n, targets[n]]


@compiled
def _row_normalize(probabilities, losses):
    for n in range(probabilities.shape[0]):
        total = probabilities.dtype.type(0.0)
        for v in range(probabilities.shape[1]):
            total += probabilities[n, v]
        losses[n] += np.log(total)
        inverse = probabilities.dtype.type(1.0) / total
        for v in range(probabilities.shape[1]):
            probabilities[n, v] *= inverse


def softmax_loss(logits, targets, weights, probabilities, losses):
    """Fills probabilities and losses."""
    _row_shift(logits, targets, weights, probabilities, losses)
    np.exp(probabilities, out=probabilities)
    _row_normalize(probabilities, losses)


@compiled
def embedding_backward(dy, ids, dtable):
    """dtable[ids] += dy."""
    for n in range(dy.shape[0]):
        row = ids[n]
        for c in range(dy.shape[1]):
            dtable[row, c] += dy[n, c]


@compiled
def _adamw(values, gradients, first, second, decay_until, rates, fresh1, fresh2):
    beta1, beta2, mean_scale, spread_scale, eps, kept, gradient_scale = rates
    one = values.dtype.type(1.0)
    for n in range(values.shape[0]):
        g = gradients[n] * gradient_scale
        m = beta1 * first[n] + fresh1 * g
        v = beta2 * second[n] + fresh2 * g * g
        first[n], second[n] = m, v
        keep = kept if n < decay_until else one
        values[n] = keep * values[n] - mean_scale * m / (np.sqrt(v) * spread_scale + eps)


def adamw(values, gradients, first, second, decay_until, rates):
    """One AdamW update in place."""
    number = values.dtype.type
    fresh = number(1.0 - rates.beta1), number(1.0 - rates.beta2)  # in float32 the difference would lose its digits
    _adamw(values, gradients, first, second, decay_until, tuple(number(rate) for rate in rates), *fresh)
