"""The element-wise passes of a step, each one compiled loop: Numba.

The same functions as in `passes_numpy`. The loops release Python's lock, so that workers run side by side. They
may be reassociated and contracted (sums in vector lanes, fused multiply-add), which is said here and allowed by the
tolerances; nothing assumes that NaN or infinity cannot occur.
"""

import math

import numpy as np

from ..ops.gelu import CUBIC, SQRT_2_OVER_PI
from .compiling import compiled_by

compiled = compiled_by(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
in_order = compiled_by(nogil=True, error_model="numpy")  # where the order or a product's rounding counts

contracted = compiled_by(nogil=True, error_model="numpy", fastmath={"contract"})


# A sum in float32 of n terms one after another is off by up to n roundings. So long sums go in blocks, which are added
# up in float64: WIDE terms of a row at a time (the vector's lanes take turns within), ROWS rows at a time.
WIDE, ROWS = 2048, 32


@compiled
def _flush(part, total):
    """total += part; part = 0."""
    for c in range(len(part)):
        total[c] += part[c]
        part[c] = 0.0


@compiled
def _add_to(out, total):
    """out += total, which is float64."""
    for c in range(len(out)):
        out[c] = out[c] + total[c]


@contracted  # said, for else it would take over the fast math of who calls it
def _reciprocal_root(x):
    """1 / sqrt(x), 0 of infinity. Fast math makes NaN of that, and infinity of numbers below the normal ones."""
    return np.reciprocal(np.sqrt(x))


@compiled
def _row_mean(x, n):
    """The mean of a long row."""
    total = 0.0
    for start in range(0, x.shape[1], WIDE):
        part = x.dtype.type(0.0)
        for c in range(start, min(start + WIDE, x.shape[1])):
            part += x[n, c]
        total += part
    return x.dtype.type(total / x.shape[1])


@compiled
def _row_mean_square(x, n, middle):
    """The mean of (x - middle)² over a long row."""
    total = 0.0
    for start in range(0, x.shape[1], WIDE):
        part = x.dtype.type(0.0)
        for c in range(start, min(start + WIDE, x.shape[1])):
            part += (x[n, c] - middle) * (x[n, c] - middle)
        total += part
    return x.dtype.type(total / x.shape[1])


@compiled
def _row_products(dy, weight, x, n, middle, scale):
    """The sums over a long row of dy weight, and of that times (x - middle) scale."""
    total, along = 0.0, 0.0
    for start in range(0, x.shape[1], WIDE):
        total_part = x.dtype.type(0.0)
        along_part = x.dtype.type(0.0)
        for c in range(start, min(start + WIDE, x.shape[1])):
            dnormalized = dy[n, c] * weight[c]
            total_part += dnormalized
            along_part += dnormalized * ((x[n, c] - middle) * scale)
        total += total_part
        along += along_part
    return x.dtype.type(total), x.dtype.type(along)


@compiled
def layernorm_forward(x, weight, bias, eps, y, mean, rstd):
    """Fills y, mean and rstd."""
    rows, channels = x.shape
    inverse = x.dtype.type(1.0) / x.dtype.type(channels)
    for n in range(rows):
        if channels > WIDE:
            middle = _row_mean(x, n)
            spread = _row_mean_square(x, n, middle) + x.dtype.type(eps)
        else:
            total = x.dtype.type(0.0)
            for c in range(channels):
                total += x[n, c]
            middle = total * inverse
            squares = x.dtype.type(0.0)
            for c in range(channels):
                squares += (x[n, c] - middle) * (x[n, c] - middle)
            spread = squares * inverse + x.dtype.type(eps)
        scale = _reciprocal_root(spread)
        for c in range(channels):
            y[n, c] = (x[n, c] - middle) * scale * weight[c] + bias[c]
        mean[n] = middle
        rstd[n] = scale


@compiled
def layernorm_backward(dy, x, mean, rstd, weight, dx, dweight, dbias):
    """Fills dx; adds to dweight and dbias."""
    rows, channels = x.shape
    inverse = x.dtype.type(1.0) / x.dtype.type(channels)
    weight_part, bias_part = np.zeros(channels, x.dtype), np.zeros(channels, x.dtype)
    weight_total, bias_total = np.zeros(channels), np.zeros(channels)
    for n in range(rows):
        middle, scale = mean[n], rstd[n]
        if channels > WIDE:
            total, along = _row_products(dy, weight, x, n, middle, scale)
        else:
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
            weight_part[c] += dy[n, c] * normalized
            bias_part[c] += dy[n, c]
            dx[n, c] = scale * (dy[n, c] * weight[c] - through_mean - normalized * through_variance)
        if n % ROWS == ROWS - 1:
            _flush(weight_part, weight_total)
            _flush(bias_part, bias_total)
    _flush(weight_part, weight_total)
    _flush(bias_part, bias_total)
    _add_to(dweight, weight_total)
    _add_to(dbias, bias_total)


@compiled
def rmsnorm_forward(x, weight, eps, y, rrms):
    """Fills y and rrms."""
    rows, channels = x.shape
    inverse = x.dtype.type(1.0) / x.dtype.type(channels)
    for n in range(rows):
        if channels > WIDE:
            spread = _row_mean_square(x, n, x.dtype.type(0.0)) + x.dtype.type(eps)
        else:
            squares = x.dtype.type(0.0)
            for c in range(channels):
                squares += x[n, c] * x[n, c]
            spread = squares * inverse + x.dtype.type(eps)
        scale = _reciprocal_root(spread)
        for c in range(channels):
            y[n, c] = x[n, c] * scale * weight[c]
        rrms[n] = scale


@compiled
def rmsnorm_backward(dy, x, rrms, weight, dx, dweight):
    """Fills dx; adds to dweight."""
    rows, channels = x.shape
    inverse = x.dtype.type(1.0) / x.dtype.type(channels)
    weight_part, weight_total = np.zeros(channels, x.dtype), np.zeros(channels)
    for n in range(rows):
        scale = rrms[n]
        if channels > WIDE:
            _, along = _row_products(dy, weight, x, n, x.dtype.type(0.0), scale)
        else:
            along = x.dtype.type(0.0)
            for c in range(channels):
                along += dy[n, c] * weight[c] * x[n, c] * scale
        through_mean_square = along * inverse
        for c in range(channels):
            normalized = x[n, c] * scale
            weight_part[c] += dy[n, c] * normalized
            dx[n, c] = scale * (dy[n, c] * weight[c] - normalized * through_mean_square)
        if n % ROWS == ROWS - 1:
            _flush(weight_part, weight_total)
    _flush(weight_part, weight_total)
    _add_to(dweight, weight_total)


@compiled
def turn(x, y, turned, index, cos, sin, halves):
    """y = x with the pairs of the first `turned` heads turned by the angles of their row's place, index[n]."""
    rows, heads, head_size = x.shape
    pairs = cos.shape[1]
    for n in range(rows):
        place = index[n]
        for h in range(turned):
            if halves:
                for i in range(pairs):
                    first, second = x[n, h, i], x[n, h, pairs + i]
                    y[n, h, i] = first * cos[place, i] - second * sin[place, i]
                    y[n, h, pairs + i] = first * sin[place, i] + second * cos[place, i]
            else:
                for i in range(pairs):
                    first, second = x[n, h, 2 * i], x[n, h, 2 * i + 1]
                    y[n, h, 2 * i] = first * cos[place, i] - second * sin[place, i]
                    y[n, h, 2 * i + 1] = first * sin[place, i] + second * cos[place, i]
            for c in range(2 * pairs, head_size):
                y[n, h, c] = x[n, h, c]
        for h in range(turned, heads):
            for c in range(head_size):
                y[n, h, c] = x[n, h, c]


@compiled
def add_bias(y, bias):
    """y += bias."""
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            y[n, c] += bias[c]


@in_order
def column_sum(dy, out, add):
    """out = the sums over the rows, or out += them."""
    rows, channels = dy.shape
    part, total = np.zeros(channels, dy.dtype), np.zeros(channels)
    eights = rows - rows % 8
    for n in range(0, eights, 8):
        for c in range(channels):
            first = (dy[n, c] + dy[n + 1, c]) + (dy[n + 2, c] + dy[n + 3, c])
            part[c] += first + ((dy[n + 4, c] + dy[n + 5, c]) + (dy[n + 6, c] + dy[n + 7, c]))
        if n % (4 * ROWS) == 4 * ROWS - 8:
            _flush(part, total)
    for n in range(eights, rows):
        for c in range(channels):
            part[c] += dy[n, c]
    _flush(part, total)
    if not add:
        out[:] = 0
    _add_to(out, total)


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


MAGIC = np.float32(1.5 * 2.0**23)  # added to a small number, it leaves the nearest integer in the last bits
FRACTION = np.int32(23)  # bits of a float32 behind its exponent
FLAT = np.float32(9.9)  # beyond it GELU is x or 0 in float32, and 2ᵗ below a normal number
LOG2_E = 1.0 / math.log(2.0)
ONCE, CUBED = np.float32(2.0 * SQRT_2_OVER_PI), np.float32(2.0 * SQRT_2_OVER_PI * CUBIC)  # 2u = ONCE x + CUBED x³
ONCE_2, CUBED_2 = np.float32(-LOG2_E * ONCE), np.float32(-LOG2_E * CUBED)  # exp(-2u) = 2 ** (ONCE_2 x + CUBED_2 x³)


@contracted
def _power_of_2(t):
    """2ᵗ in float32 for -125 <= t <= 125, to about 1 unit in the last place; vectorises, unlike the library's.

    2ᵗ = 2ⁿ 2ᶠ with n the integer next to t: n is added to the exponent of 2ᶠ, a polynomial that is off by 8e-8 of it.
    """
    shifted = np.float32(t + MAGIC)
    f = t - (shifted - MAGIC)
    p = np.float32(1.3276449189e-3)
    p = p * f + np.float32(9.6755641613e-3)
    p = p * f + np.float32(5.5507135150e-2)
    p = p * f + np.float32(2.4022119303e-1)
    p = p * f + np.float32(6.9314696681e-1)
    p = np.float32(p * f + np.float32(1.0000000717))
    return np.int32(p.view(np.int32) + np.int32(shifted.view(np.int32) << FRACTION)).view(np.float32)


@contracted
def bias_gelu(h, bias, slope):
    """h = gelu(h + bias), slope = its derivative.

    (1 + tanh(u)) / 2 = s with s = 1 / (1 + e), e = exp(-2u), and its derivative is s (1 - s) 2u' = s (e s) 2u', in
    which nothing is subtracted: 1 - tanh² would lose its digits where tanh is near 1.
    """
    zero, one, cubed3 = np.float32(0.0), np.float32(1.0), np.float32(3.0) * CUBED
    for n in range(h.shape[0]):
        for c in range(h.shape[1]):
            x = h[n, c] + bias[c]
            bounded = -FLAT if x < -FLAT else x  # a NaN stays a NaN
            bounded = FLAT if bounded > FLAT else bounded
            square = bounded * bounded
            e = _power_of_2(bounded * (ONCE_2 + CUBED_2 * square))
            s = zero if x < -FLAT else one / (one + e)
            h[n, c] = x * s
            slope[n, c] = s + (bounded * (ONCE + cubed3 * square)) * (s * (e * s))


FARTHEST = np.float32(86.0)  # beyond it the logistic function is 1, or 0 but for what no normal number can hold
LOG2_E_32 = np.float32(LOG2_E)


@contracted
def silu_gate(hidden, product):
    """product = silu(gate) up, where hidden is [gate | up]."""
    zero, one, size = np.float32(0.0), np.float32(1.0), product.shape[1]
    for n in range(product.shape[0]):
        for c in range(size):
            x = hidden[n, c]
            bounded = -FARTHEST if x < -FARTHEST else x  # a NaN stays a NaN
            bounded = FARTHEST if bounded > FARTHEST else bounded
            s = zero if x < -FARTHEST else one / (one + _power_of_2(-LOG2_E_32 * bounded))
            product[n, c] = x * s * hidden[n, size + c]


@contracted
def silu_gate_backward(dproduct, hidden, dhidden):
    """dhidden = [dproduct up silu'(gate) | dproduct silu(gate)], silu' = s + x s (1 - s), 1 - s = e s."""
    zero, one, size = np.float32(0.0), np.float32(1.0), dproduct.shape[1]
    for n in range(dproduct.shape[0]):
        for c in range(size):
            x = hidden[n, c]
            bounded = -FARTHEST if x < -FARTHEST else x
            bounded = FARTHEST if bounded > FARTHEST else bounded
            e = _power_of_2(-LOG2_E_32 * bounded)
            s = zero if x < -FARTHEST else one / (one + e)
            dhidden[n, c] = dproduct[n, c] * hidden[n, size + c] * (s + bounded * (s * (e * s)))
            dhidden[n, size + c] = dproduct[n, c] * (x * s)


@in_order
def _shift_visible(scores, scale):
    """Scaled scores minus their largest visible one; -inf where hidden.

    The largest becomes 0, whatever its size. A fused multiply-add would leave the rounding of its product there, which
    is a large number where the scores are.
    """
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
    """Each row over its sum; a row of zeros stays so."""
    for m in range(weights.shape[0]):
        for q in range(weights.shape[1]):
            total = weights.dtype.type(0.0)
            for k in range(weights.shape[2]):
                total += weights[m, q, k]
            inverse = total if total == 0.0 else weights.dtype.type(1.0) / total
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


@in_order
def _shift_shown(scores, scale, shown, causal):
    """As `_shift_visible`, of the keys that are shown; where a query sees none, all stay hidden."""
    blocks, queries, keys = scores.shape
    behind, heads = keys - queries, blocks // len(shown)
    for m in range(blocks):
        row = m // heads
        for q in range(queries):
            seen = q + behind + 1 if causal else keys
            largest = scores.dtype.type(-math.inf)
            for k in range(seen):
                if shown[row, k]:
                    largest = max(largest, scores[m, q, k] * scale)
            if largest == -math.inf:
                largest = scores.dtype.type(0.0)
            for k in range(keys):
                if k < seen and shown[row, k]:
                    scores[m, q, k] = scores[m, q, k] * scale - largest
                else:
                    scores[m, q, k] = -math.inf


def masked_softmax(scores, scale, shown, causal):
    """scores = softmax(scores * scale) over the keys that are shown; zeros where a query sees none."""
    _shift_shown(scores, scores.dtype.type(scale), shown, causal)
    np.exp(scores, out=scores)
    _normalize(scores)


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


# SGD and Lion round as the reference does, and so give its bits: a product that is not rounded before it is added could
# turn Lion's sign. They wait for memory, not for the arithmetic.


@in_order
def _sgd(values, gradients, velocity, decay_until, rates, coupled, nesterov):
    rate, kept, fresh, gradient_scale, momentum, penalty = rates
    one = values.dtype.type(1.0)
    for n in range(values.shape[0]):
        update = gradients[n] * gradient_scale
        if coupled and n < decay_until:
            update = update + penalty * values[n]
        if velocity is not None:
            v = velocity[n] * momentum + fresh * update
            velocity[n] = v
            update = update + momentum * v if nesterov else v
        keep = kept if n < decay_until else one
        values[n] = keep * values[n] - rate * update


def sgd(values, gradients, velocity, decay_until, rates, nesterov):
    """One update of SGD in place."""
    numbers = tuple(map(values.dtype.type, rates))
    _sgd(values, gradients, velocity, decay_until, numbers, rates.penalty != 0.0, nesterov)


@in_order
def _lion(values, gradients, first, decay_until, rates, fresh1, fresh2):
    rate, kept, gradient_scale, beta1, beta2 = rates
    one = values.dtype.type(1.0)
    for n in range(values.shape[0]):
        g = gradients[n] * gradient_scale
        direction = beta1 * first[n] + fresh1 * g
        keep = kept if n < decay_until else one
        values[n] = keep * values[n] - rate * np.sign(direction)
        first[n] = beta2 * first[n] + fresh2 * g


def lion(values, gradients, first, decay_until, rates):
    """One update of Lion in place."""
    number = values.dtype.type
    fresh = number(1.0 - rates.beta1), number(1.0 - rates.beta2)  # in float32 the difference would lose its digits
    _lion(values, gradients, first, decay_until, tuple(map(number, rates)), *fresh)
