"""Question 3: do others agree? PyTorch's autograd in float64, on every operation and on a whole GPT.

PyTorch is optional (`pip install -e '.[parity]'`); without it these tests are skipped and say so.
"""

import functools
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[parity]'")

from tinygrad_arith import ops  # noqa: E402
from tinygrad_arith.autograd import functions as F  # noqa: E402
from tinygrad_arith.backend import DtypePolicy  # noqa: E402
from tinygrad_arith.models import GPT, GPTConfig  # noqa: E402
from tinygrad_arith.nn import Linear  # noqa: E402
from tinygrad_arith.optim import AdamW, clip_gradient_norm  # noqa: E402
from tinygrad_arith.verify import assert_close, randomize_parameters, tolerance  # noqa: E402

TORCH = tolerance("torch", "float64")
tf = torch.nn.functional


@pytest.fixture
def rng():
    return np.random.default_rng(17)


def compare(forward, backward, arrays, torch_function, rng, *rest, **options):
    """Runs both on the same numbers and a random cotangent; compares the output and all gradients."""
    out, cache = forward(*arrays, *rest, **options)
    dy = rng.normal(size=np.shape(out))
    gradients = backward(dy, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    theirs = [torch.tensor(np.ascontiguousarray(a), requires_grad=True) for a in arrays]
    expected = torch_function(*theirs)
    expected.backward(torch.tensor(dy))
    assert_close(out, expected.detach().numpy(), TORCH, "out")
    for index, (mine, other) in enumerate(zip(gradients, theirs, strict=True)):
        assert_close(mine, other.grad.numpy(), TORCH, f"gradient {index}")


def torch_attention(q, k, v, **options):
    heads_first = [x.transpose(1, 2) for x in (q, k, v)]
    return tf.scaled_dot_product_attention(*heads_first, enable_gqa=True, **options).transpose(1, 2)


def test_linear(rng):
    arrays = [rng.normal(size=s) for s in ((2, 3, 4), (4, 5), (5,))]
    compare(ops.linear_forward, ops.linear_backward, arrays, lambda x, w, b: x @ w + b, rng)


def test_layernorm(rng):
    arrays = [rng.normal(size=s) for s in ((2, 3, 7), (7,), (7,))]
    compare(ops.layernorm_forward, ops.layernorm_backward, arrays, lambda x, w, b: tf.layer_norm(x, (7,), w, b), rng)


def test_rmsnorm(rng):
    arrays = [rng.normal(size=s) for s in ((2, 3, 7), (7,))]
    compare(ops.rmsnorm_forward, ops.rmsnorm_backward, arrays, lambda x, w: tf.rms_norm(x, (7,), w, 1e-5), rng)


def torch_rotary(x, positions, base):
    """RoFormer's rotation as one of complex numbers."""
    frequency = base ** (-torch.arange(0, x.shape[-1], 2, dtype=torch.float64) / x.shape[-1])
    angle = torch.tensor(positions)[..., None, None] * frequency
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).reshape(x.shape)


@pytest.mark.parametrize("shape", [(7,), (2, 7)])
def test_rotary(shape, rng):
    positions = rng.integers(0, 500, shape)
    x = [rng.normal(size=(2, 7, 3, 10))]
    compare(ops.rotary_forward, ops.rotary_backward, x, lambda x: torch_rotary(x, positions, 1e4), rng, positions)


def by_halves(x, positions, base, width):
    """The rotation as the Llama of Hugging Face has it, of the first channels of each head."""
    frequency = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = (torch.tensor(positions)[..., None, None] * frequency).repeat(*[1] * (positions.ndim + 1), 2)
    turned, rest = x[..., :width], x[..., width:]
    first, second = turned.chunk(2, dim=-1)
    return torch.cat([turned * angle.cos() + torch.cat([-second, first], dim=-1) * angle.sin(), rest], dim=-1)


@pytest.mark.parametrize("width", [10, 6])
def test_rotary_by_halves(width, rng):
    positions = rng.integers(0, 500, (2, 7))
    compare(
        ops.rotary_forward,
        ops.rotary_backward,
        [rng.normal(size=(2, 7, 3, 10))],
        lambda x: by_halves(x, positions, 1e4, width),
        rng,
        positions,
        pairing="halves",
        width=width,
    )


def test_packed_rotary(rng):
    positions = rng.integers(0, 500, (2, 7))

    def theirs(qkv):
        heads = qkv.reshape(2, 7, 10, 6)  # 6 of queries, 2 of keys, 2 of values
        turned = torch_rotary(heads[:, :, :8], positions, 500.0)
        return torch.cat([turned, heads[:, :, 8:]], dim=2).reshape(qkv.shape)

    pair = ops.packed_rotary_forward, ops.packed_rotary_backward
    compare(*pair, [rng.normal(size=(2, 7, 60))], theirs, rng, positions, 6, kv_heads=2, base=500.0)


def test_embedding(rng):
    ids = rng.integers(0, 5, size=(3, 6))
    table = rng.normal(size=(5, 4))
    out, cache = ops.embedding_forward(ids, table)
    dy = rng.normal(size=out.shape)
    theirs = torch.tensor(table, requires_grad=True)
    tf.embedding(torch.tensor(ids), theirs).backward(torch.tensor(dy))
    assert_close(ops.embedding_backward(dy, cache), theirs.grad.numpy(), TORCH)


@pytest.mark.parametrize("approximate", ["tanh", "none"])
def test_gelu(approximate, rng):
    names = {"tanh": "gelu", "none": "gelu_exact"}
    operation = ops.OPERATIONS[names[approximate]]
    x = rng.normal(size=(3, 5)) * 3
    compare(operation.forward, operation.backward, [x], lambda x: tf.gelu(x, approximate=approximate), rng)


def test_relu(rng):
    compare(ops.relu_forward, ops.relu_backward, [rng.normal(size=(3, 5))], tf.relu, rng)


def test_silu(rng):
    compare(ops.silu_forward, ops.silu_backward, [3 * rng.normal(size=(3, 5))], tf.silu, rng)


@pytest.mark.parametrize("name", ["attention", "attention_blockwise"])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_attention_causal_and_grouped(name, kv_heads, rng):
    operation = ops.OPERATIONS[name]
    arrays = [rng.normal(size=(2, 9, heads, 5)) for heads in (4, kv_heads, kv_heads)]
    compare(operation.forward, operation.backward, arrays, lambda *a: torch_attention(*a, is_causal=True), rng)


@pytest.mark.parametrize("name", ["attention", "attention_blockwise"])
def test_attention_with_a_key_mask_and_fewer_queries(name, rng):
    operation = ops.OPERATIONS[name]
    arrays = [rng.normal(size=(3, size, 2, 5)) for size in (4, 9, 9)]
    key_mask = rng.random((3, 9)) < 0.5
    key_mask[:, 0] = True
    earlier = np.arange(9) <= np.arange(4)[:, None] + 5
    mask = torch.tensor(key_mask[:, None, None, :] & earlier)
    options = {"key_mask": key_mask, "scale": 0.3}
    compare(
        operation.forward,
        operation.backward,
        arrays,
        lambda *a: torch_attention(*a, attn_mask=mask, scale=0.3),
        rng,
        **options,
    )


def test_cross_entropy(rng):
    targets = rng.integers(-1, 6, size=(4, 5))
    logits = rng.normal(size=(4, 5, 6)) * 4

    def theirs(reduction):
        flat = torch.tensor(targets.ravel())
        return lambda z: tf.cross_entropy(z.reshape(-1, 6), flat, ignore_index=-1, reduction=reduction)

    mean, total = ops.OPERATIONS["cross_entropy"], ops.OPERATIONS["cross_entropy_sum"]
    compare(mean.forward, mean.backward, [logits], theirs("mean"), rng, targets)
    compare(total.forward, total.backward, [logits], theirs("sum"), rng, targets)


def test_ffn(rng):
    arrays = [rng.normal(size=s) for s in ((2, 3, 4), (4, 6), (6,), (6, 4), (4,))]

    def theirs(x, w1, b1, w2, b2):
        return tf.gelu(x @ w1 + b1, approximate="tanh") @ w2 + b2

    compare(ops.ffn_forward, ops.ffn_backward, arrays, theirs, rng)


def test_gated_ffn(rng):
    arrays = [rng.normal(size=size) for size in ((2, 5, 4), (4, 14), (14,), (7, 4), (4,))]

    def theirs(x, w1, b1, w2, b2):
        gate, up = (x @ w1 + b1).chunk(2, dim=-1)
        return (tf.silu(gate) * up) @ w2 + b2

    compare(ops.gated_ffn_forward, ops.gated_ffn_backward, arrays, theirs, rng)


ARITHMETIC = {
    "add": (torch.add, [(2, 3, 4), (3, 1)], {}),
    "subtract": (torch.sub, [(3, 1), (2, 3, 4)], {}),
    "multiply": (torch.mul, [(2, 3, 4), (4,)], {}),
    "divide": (torch.div, [(2, 3, 4), (3, 4)], {}),
    "matmul": (torch.matmul, [(2, 3, 4), (4, 5)], {}),
    "power": (lambda x: x**3, [(2, 3)], {"exponent": 3}),
    "elementwise_power": (torch.pow, [(2, 3, 4), (3, 1)], {}),
    "softmax": (lambda x: torch.softmax(x, dim=1), [(2, 3, 4)], {"axis": 1}),
    "log_softmax": (lambda x: torch.log_softmax(x, dim=-1), [(2, 3, 4)], {}),
    "concatenate": (lambda *a: torch.cat(a, dim=1), [(2, 3), (2, 1), (2, 4)], {"axis": 1}),
    "stack": (lambda *a: torch.stack(a, dim=-1), [(2, 3), (2, 3), (2, 3)], {"axis": -1}),
    "negative": (torch.neg, [(2, 3)], {}),
    "exp": (torch.exp, [(2, 3)], {}),
    "log": (torch.log, [(2, 3)], {}),
    "sqrt": (torch.sqrt, [(2, 3)], {}),
    "tanh": (torch.tanh, [(2, 3)], {}),
    "sum": (lambda x: x.sum(dim=(0, 2)), [(2, 3, 4)], {"axis": (0, 2)}),
    "mean": (lambda x: x.mean(dim=1, keepdim=True), [(2, 3, 4)], {"axis": 1, "keepdims": True}),
    "max": (lambda x: x.amax(dim=2), [(2, 3, 4)], {"axis": 2}),
    "reshape": (lambda x: x.reshape(4, 6), [(2, 3, 4)], {"shape": (4, 6)}),
    "transpose": (lambda x: x.permute(2, 0, 1), [(2, 3, 4)], {"axes": (2, 0, 1)}),
    "index": (lambda x: x[[0, 1, 0]], [(2, 3, 4)], {"index": np.array([0, 1, 0])}),
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_tensor_arithmetic(name, rng):
    theirs, shapes, options = ARITHMETIC[name]
    operation = ops.OPERATIONS[name]
    arrays = [rng.uniform(0.5, 2.0, size=shape) for shape in shapes]
    compare(operation.forward, operation.backward, arrays, theirs, rng, **options)


def test_where(rng):
    condition = rng.random((2, 3, 4)) < 0.5
    arrays = [rng.normal(size=(3, 4)), rng.normal(size=(2, 1, 4))]
    operation = ops.OPERATIONS["where"]
    pair = functools.partial(operation.forward, condition), operation.backward
    compare(*pair, arrays, lambda a, b: torch.where(torch.tensor(condition), a, b), rng)


@pytest.mark.parametrize("exponent", [0, 0.0, 1, 2, 3, 0.5, -1, -0.5, 2.5])
def test_powers_at_zero_and_far_from_it(exponent):
    numbers = np.array([0.0, -0.0, 2.0, 1e-30, 1e30])
    theirs = torch.tensor(numbers, requires_grad=True)
    (theirs**exponent).sum().backward()
    with np.errstate(divide="ignore"):
        _, cache = ops.power_forward(numbers, exponent)
        np.testing.assert_allclose(ops.power_backward(np.ones(5), cache), theirs.grad.numpy(), rtol=1e-12)


def test_powers_of_tensors_at_zero_and_below():
    bases, exponents = np.meshgrid([0.0, -2.0, 1.5], [0.0, 1.0, 2.0, 0.5, -1.0])
    theirs = [torch.tensor(array, requires_grad=True) for array in (bases, exponents)]
    (theirs[0] ** theirs[1]).sum().backward()
    with np.errstate(divide="ignore", invalid="ignore"):
        _, cache = ops.elementwise_power_forward(bases, exponents)
        gradients = ops.elementwise_power_backward(np.ones(bases.shape), cache)
    for mine, other in zip(gradients, theirs, strict=True):
        np.testing.assert_allclose(mine, other.grad.numpy(), rtol=1e-12)


class TorchGPT:
    """The same GPT written with PyTorch's functions, on copies of our parameters."""

    def __init__(self, model):
        self.config = model.config
        self.p = {n: torch.tensor(p.array.copy(), requires_grad=True) for n, p in model.named_parameters().items()}

    def __call__(self, ids):
        c, p = self.config, self.p
        x = p["token_embedding.weight"][ids] + p["position_embedding.weight"][: ids.shape[1]]
        for i in range(c.layers):
            part = {n.removeprefix(f"blocks.{i}."): v for n, v in p.items() if n.startswith(f"blocks.{i}.")}
            normed = tf.layer_norm(x, (c.d_model,), part["attention_norm.weight"], part["attention_norm.bias"])
            qkv = normed @ part["attention.qkv.weight"] + part["attention.qkv.bias"]
            q, k, v = (h.reshape(*ids.shape, c.heads, -1) for h in qkv.chunk(3, dim=-1))
            out = torch_attention(q, k, v, is_causal=True).reshape(x.shape)
            x = x + out @ part["attention.output.weight"] + part["attention.output.bias"]
            normed = tf.layer_norm(x, (c.d_model,), part["ffn_norm.weight"], part["ffn_norm.bias"])
            hidden = tf.gelu(normed @ part["ffn.up.weight"] + part["ffn.up.bias"], approximate="tanh")
            x = x + hidden @ part["ffn.down.weight"] + part["ffn.down.bias"]
        x = tf.layer_norm(x, (c.d_model,), p["final_norm.weight"], p["final_norm.bias"])
        return x @ p["head.weight"] + p["head.bias"]


def test_a_whole_gpt_agrees_on_loss_and_every_gradient_and_after_training_steps(rng):
    model = GPT(GPTConfig(vocabulary=7, context=9, d_model=12, layers=2, heads=3))
    model.initialize(seed=1, policy=DtypePolicy.uniform("float64"))
    randomize_parameters(model, seed=2)
    theirs = TorchGPT(model)
    decayed = [p for n, p in theirs.p.items() if p.ndim == 2]
    others = [p for n, p in theirs.p.items() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    # The keys' bias has a true gradient of zero: softmax does not see a shift. A usual eps would blow up its rounding.
    eps = 1e-3
    torch_optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), eps=eps)
    optimizer = AdamW(model.flat, betas=(0.9, 0.95), eps=eps, weight_decay=0.1)
    for step in range(4):
        ids, targets = rng.integers(0, 7, size=(4, 9)), rng.integers(-1, 7, size=(4, 9))
        model.flat.zero_gradients()
        torch_optimizer.zero_grad()
        loss = F.cross_entropy(model(ids), targets)
        loss.backward()
        expected = tf.cross_entropy(
            theirs(torch.tensor(ids)).reshape(-1, 7), torch.tensor(targets.ravel()), ignore_index=-1
        )
        expected.backward()
        assert loss.item() == pytest.approx(expected.item(), rel=TORCH.largest)
        for name, parameter in model.named_parameters().items():
            assert_close(parameter.grad, theirs.p[name].grad.numpy(), TORCH, f"step {step}: d{name}")
        norm = clip_gradient_norm(model.flat, 1.0)
        expected_norm = torch.nn.utils.get_total_norm([p.grad for p in theirs.p.values()])
        assert norm == pytest.approx(expected_norm.item(), rel=TORCH.largest)
        for parameter in theirs.p.values():  # by hand: PyTorch's clipping adds 1e-6 to the norm
            parameter.grad *= min(1.0, 1.0 / expected_norm)
        optimizer.step(1e-2)
        torch_optimizer.step()


def test_a_linear_layer_starts_with_the_variance_it_promises():
    layer = Linear(400, 300).initialize(seed=1)
    assert layer.weight.array.std() == pytest.approx(1.0 / math.sqrt(400), rel=0.02)
