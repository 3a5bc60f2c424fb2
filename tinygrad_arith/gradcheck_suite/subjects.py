"""What the `gradcheck` command checks by default: every operation, every module with gradients, whole tiny models."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from .. import nn
from ..autograd import Tensor, no_grad
from ..autograd import functions as F
from ..backend import DtypePolicy, RandomKey
from ..models import GPT, GPTConfig
from ..ops import OPERATIONS
from ..reproductions import BatchTensorNorm, WindowConfig, WindowGPT, WindowNet
from ..verify import randomize_parameters
from .mutant import Mutant, as_tuple, changed
from .operations import cases, mutants
from .suite import Pair, Subject, Trial

FLOAT64 = DtypePolicy.uniform("float64")
KEY_MASK = np.array([[True, True, False, True], [True, True, True, False]])  # (B, T)
SQUARE = ("equal_axes",)  # the output projection of attention is (C, C)


def all_subjects(seed: int = 0) -> list[Subject]:
    """Operations, modules and models, in this order; `seed` draws their inputs and parameters."""
    operations = [Subject("operation", name, operation_trials(name, seed)) for name in OPERATIONS]
    return [*operations, *module_subjects(seed), *model_subjects(seed)]


def operation_trials(name: str, seed: int = 0, pair: Pair | None = None) -> tuple[Trial, ...]:
    """The cases of one of our operations with its named mutants; `pair` is judged in place of the operation's own."""
    own = OPERATIONS[name].forward, OPERATIONS[name].backward
    chosen = cases(name, seed, lambda number: RandomKey(number, "gradcheck"))
    return tuple(
        Trial(case.name, pair or own, case.inputs, case.settings(), mutants(name), reference=own) for case in chosen
    )


def common_mutants(names: Sequence[str], without: Collection[str] = ()) -> dict[str, Mutant]:
    """Wrong backwards that need no knowledge of the function.

    One element of one gradient is off by a thousandth, which every larger fault of that gradient contains; or the first
    gradient is computed without looking at the cotangent.

    names:   of the differentiable inputs, in the order of the gradients
    without: those of them where a slip need not show: they are not compared, zero, or rounding may hide them
    """
    bent = [(position, name) for position, name in enumerate(names) if name not in without]
    mutants = {f"one element of the gradient of {name} scaled by 1.001": changed(p, _largest_wrong) for p, name in bent}
    return mutants | {f"gradient of {name} without dy": _without_cotangent(p) for p, name in bent[:1]}


def _largest_wrong(gradient: Any) -> np.ndarray:
    wrong = np.array(gradient)
    if wrong.size:
        wrong.flat[np.argmax(np.abs(wrong))] *= 1.001
    return wrong


def _without_cotangent(position: int) -> Mutant:
    def mutant(backward, dy, cache):
        ones = tuple(None if d is None else d * 0 + 1 for d in dy) if isinstance(dy, tuple) else dy * 0 + 1
        gradients = list(as_tuple(backward(dy, cache)))
        gradients[position] = as_tuple(backward(ones, cache))[position]
        return tuple(gradients)

    return mutant


# Modules and models


def module_pair(module: nn.Module, call: Callable[..., Tensor]) -> Pair:
    """A module as a pair: the forward takes `call`'s arrays and, after them, all parameters in the module's order.

    call: `call(module, *tensors, **options) -> Tensor`
    """
    parameters = tuple(module.named_parameters().values())

    def run(values: tuple[Any, ...], options: Mapping[str, Any]) -> tuple[list[Tensor], Tensor]:
        count = len(values) - len(parameters)
        leaves = [Tensor(value, requires_grad=True) for value in values[:count]]
        for parameter, value in zip(parameters, values[count:], strict=True):
            parameter.array, parameter.grad = value, None
        return leaves, call(module, *leaves, **options)

    def forward(*values, **options):
        with no_grad():
            return run(values, options)[1].array.copy(), (values, options)

    def backward(dy, cache):
        leaves, out = run(*cache)
        out.backward(dy)
        return tuple(leaf.grad for leaf in (*leaves, *parameters))

    forward.__name__ = type(module).__name__
    return forward, backward


def module_trial(
    name: str,
    module: nn.Module,
    options: Mapping[str, Any],
    seed: int,
    x: tuple[np.ndarray, ...] = (),
    call: Callable[..., Tensor] = nn.Module.__call__,
    allow: tuple[str, ...] = (),
) -> Trial:
    """A trial over the module's inputs `x` and all its parameters, drawn at random: neither ones nor zeros."""
    module.initialize(seed, policy=FLOAT64)
    randomize_parameters(module, seed)
    parameters = module.named_parameters()
    names = (*(("x",) if x else ()), *parameters)
    inputs = (*x, *(parameter.array.copy() for parameter in parameters.values()))
    settings = {"names": names, "allow": allow, "options": options}
    return Trial(name, module_pair(module, call), inputs, settings, common_mutants(names), tolerance="module")


def module_subjects(seed: int) -> list[Subject]:
    """Every module of `nn` that has gradients, and a norm of `reproductions`, in each of their variants."""
    rng = np.random.default_rng([seed, 1])
    x = (rng.normal(size=(2, 4, 6)),)  # (B, T, C)
    ids = {"ids": rng.integers(0, 7, size=(2, 5))}  # (B, T)
    key, mask = RandomKey(seed, "gradcheck"), {"key_mask": KEY_MASK}
    dropped, attention = {"dropout_key": key}, nn.SelfAttention
    places = {"positions": np.array([[0, 2, 3, 7], [4, 1, 1, 0]])}  # (B, T)
    variants: dict[str, dict[str, tuple[nn.Module, Mapping[str, Any]]]] = {
        "Linear": {"with a bias": (nn.Linear(6, 5), {}), "without a bias": (nn.Linear(6, 5, bias=False), {})},
        "Embedding": {"repeated ids": (nn.Embedding(7, 3), ids), "with a bias": (nn.Embedding(7, 3, bias=True), ids)},
        "LayerNorm": {"(B, T, C)": (nn.LayerNorm(6), {})},
        "RMSNorm": {"(B, T, C)": (nn.RMSNorm(6), {})},
        "BatchTensorNorm": {"(B, T, C)": (BatchTensorNorm(6), {})},
        "FeedForward": {
            **{kind: (nn.FeedForward(6, 9, kind), {}) for kind in ("relu", "gelu", "gelu-exact")},
            "without biases": (nn.FeedForward(6, 9, bias=False), {}),
        },
        "GatedFeedForward": {
            "silu": (nn.GatedFeedForward(6, 9), {}),
            "gelu, without biases": (nn.GatedFeedForward(6, 9, "gelu", bias=False), {}),
        },
        "SelfAttention": {
            "two heads": (attention(6, 2), {}),
            "key mask": (attention(6, 2), mask),
            "grouped heads": (attention(6, 6, 2), {}),
            "not causal, key mask": (attention(6, 2, causal=False), mask),
            "rotary": (attention(6, 3, rotary=nn.Rotary(20.0)), places),
            "rotary, part of each head by halves": (
                attention(6, 3, head_size=5, rotary=nn.Rotary(20.0, "halves", width=4)),
                places,
            ),
            "without biases, heads of another size": (attention(6, 2, head_size=5, bias=False), {}),
            "bias of the packed projection only": (attention(6, 2, output_bias=False), {}),
            "dropout of probabilities": (attention(6, 6, 2, dropout=0.3), mask | dropped),
        },
        "Identity": {"(B, T, C)": (nn.Identity(), {})},
        "Dropout": {"rate 0.4": (nn.Dropout(0.4), {"key": key})},
        "Block": {
            "pre-norm, gelu": (nn.Block(6, 2, 9), {}),
            "post-norm, relu": (nn.Block(6, 2, 9, norm="post", activation="relu"), {}),
            "dropout, key mask": (nn.Block(6, 2, 9, dropout=0.3), mask | dropped),
            "activations recomputed": (recomputing(nn.Block(6, 2, 9, dropout=0.3)), dropped),
            "rmsnorm": (nn.Block(6, 2, 9, normalization="rmsnorm"), {}),
            "Llama's": (
                nn.Block(
                    6,
                    3,
                    9,
                    kv_heads=1,
                    head_size=4,
                    activation="silu",
                    gated=True,
                    bias=False,
                    normalization="rmsnorm",
                    eps=1e-6,
                    rotary=nn.Rotary(20.0, "halves"),
                ),
                places,
            ),
            "BERT's": (
                nn.Block(6, 2, 9, activation="gelu-exact", norm="post", eps=1e-12, causal=False),
                mask,
            ),
            "no norm": (nn.Block(6, 2, 9, normalization="none"), {}),
        },
    }
    subjects = []
    for name, trials in variants.items():
        inputs, allow = () if name == "Embedding" else x, SQUARE if name in ("SelfAttention", "Block") else ()
        made = (module_trial(variant, *of, seed, inputs, allow=allow) for variant, of in trials.items())
        subjects.append(Subject("module", name, tuple(made)))
    return subjects


def recomputing(block: nn.Block) -> nn.Block:
    """The block, which is to compute its activations once more in the backward."""
    block.recompute_activations = True
    return block


# A forward for every parameter: what these models take is most of the whole, so they are no larger than they must be.
WINDOW: dict[str, Any] = {"d_model": 6, "layers": 2, "heads": 3, "ffn": 9, "positions": "sinusoidal", "dropout": 0.2}
MODELS: dict[str, Callable[[], nn.Module]] = {
    "gpt-pre-norm": lambda: GPT(GPTConfig(5, 7, d_model=6, layers=2, heads=2, ffn=9, activation="gelu")),
    "gpt-post-norm": lambda: GPT(
        GPTConfig(
            5, 7, d_model=6, layers=2, heads=3, ffn=9, norm="post", positions="sinusoidal", activation="gelu-exact"
        )
    ),
    "gpt-grouped-tied": lambda: GPT(
        GPTConfig(5, 7, d_model=8, layers=1, heads=4, kv_heads=2, ffn=9, tied_head=True, dropout=0.2)
    ),
    "gpt-relu": lambda: GPT(GPTConfig(5, 7, d_model=6, layers=2, heads=2, ffn=9, activation="relu")),
    "gpt-rotary-rmsnorm": lambda: GPT(
        GPTConfig(5, 7, d_model=6, layers=2, heads=3, ffn=9, positions="rotary", normalization="rmsnorm")
    ),
    "gpt-no-norm": lambda: GPT(GPTConfig(5, 7, d_model=6, layers=2, heads=2, ffn=9, normalization="none")),
    "window-gpt": lambda: WindowGPT(WindowConfig(5, 7, **WINDOW)),
    "window-gpt-batch-tensor": lambda: WindowGPT(
        WindowConfig(5, 7, **WINDOW | {"layers": 1}, normalization="batch-tensor", attend_to="padding")
    ),
    "window-net": lambda: WindowNet(WindowConfig(5, 7, **WINDOW | {"d_model": 4}, activation="relu")),
}


def model_subjects(seed: int) -> list[Subject]:
    """Whole models: the loss over a padded batch with ignored targets, by every parameter."""
    rng = np.random.default_rng([seed, 2])
    batch: dict[str, Any] = {
        "ids": rng.integers(0, 5, size=(3, 7)),  # (B, T)
        "targets": np.where(rng.random((3, 7)) < 0.3, -1, rng.integers(0, 5, size=(3, 7))),  # (B, T)
        "key_mask": np.arange(7) < np.array([7, 5, 2])[:, None],  # (B, T)
        "dropout_key": RandomKey(seed, "gradcheck"),
    }
    batch["ids"][:, 1] = np.array([0, 1, 2])  # 0 is the padding of windows: a row that has some
    subjects = []
    for name, make in MODELS.items():
        trial = module_trial("loss", make(), batch, seed, call=_loss, allow=SQUARE)
        subjects.append(Subject("model", name, (trial,)))
    return subjects


def _loss(model: nn.Module, ids: Any, targets: Any, key_mask: Any, dropout_key: RandomKey) -> Tensor:
    """Over all positions, or for a window model over as many as it has logits for: one."""
    logits = model(ids, key_mask=key_mask, dropout_key=dropout_key)  # (B, T or 1, V)
    return F.cross_entropy_sum(logits, targets[:, -logits.shape[1] :])
