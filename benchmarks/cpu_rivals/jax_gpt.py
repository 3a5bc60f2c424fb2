"""The same training step in JAX: one function under jit, from the batch to the new parameters, buffers donated."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import settings
from .configurations import Configuration

Parameters = dict[str, Any]


def linear(p: Parameters, name: str, x: Any) -> Any:
    """x weight + bias over the last axis."""
    return x @ p[f"{name}.weight"] + p[f"{name}.bias"]


def layernorm(p: Parameters, name: str, x: Any) -> Any:
    """Over the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = jax.lax.rsqrt((centred * centred).mean(axis=-1, keepdims=True) + settings.LAYERNORM_EPS)
    return centred * spread * p[f"{name}.weight"] + p[f"{name}.bias"]


def attention(p: Parameters, name: str, x: Any, heads: int) -> Any:
    """Causal self-attention on one packed projection, (B, T, C) -> (B, T, C)."""
    packed = linear(p, f"{name}.qkv", x).reshape(*x.shape[:2], 3, heads, -1)  # (B, T, 3, NH, HS)
    out = jax.nn.dot_product_attention(packed[:, :, 0], packed[:, :, 1], packed[:, :, 2], is_causal=True)
    return linear(p, f"{name}.output", out.reshape(x.shape))


def mean_loss(p: Parameters, tokens: Any, targets: Any, configuration: Configuration) -> Any:
    """The mean cross-entropy over the targets that are not -1."""
    activation = jax.nn.relu if configuration.activation == "relu" else jax.nn.gelu  # by default the tanh form
    x = p["token_embedding.weight"][tokens] + p["position_embedding.weight"][: tokens.shape[1]]  # (B, T, C)
    for index in range(configuration.layers):
        block = f"blocks.{index}"
        x = x + attention(p, f"{block}.attention", layernorm(p, f"{block}.attention_norm", x), configuration.heads)
        hidden = activation(linear(p, f"{block}.ffn.up", layernorm(p, f"{block}.ffn_norm", x)))  # (B, T, F)
        x = x + linear(p, f"{block}.ffn.down", hidden)
    x = layernorm(p, "final_norm", x)
    logits = x @ p["token_embedding.weight"].T if configuration.tied else linear(p, "head", x)  # (B, T, V)
    counted = targets != -1
    logs = jax.nn.log_softmax(logits)
    picked = jnp.take_along_axis(logs, jnp.where(counted, targets, 0)[..., None], axis=-1)[..., 0]  # (B, T)
    return -jnp.where(counted, picked, 0.0).sum() / counted.sum()


def updated(p: Any, m: Any, v: Any, gradient: Any, step: Any) -> tuple[Any, Any, Any]:
    """One parameter and its moments after AdamW's step number `step`, counted from 1."""
    beta1, beta2 = settings.BETAS
    m = beta1 * m + (1.0 - beta1) * gradient
    v = beta2 * v + (1.0 - beta2) * gradient * gradient
    mean, spread = m / (1.0 - beta1**step), v / (1.0 - beta2**step)
    decay = settings.WEIGHT_DECAY if p.ndim == 2 else 0.0
    change = mean / (jnp.sqrt(spread) + settings.EPS) + decay * p
    return p - settings.LEARNING_RATE * change, m, v


def train_step(state: Any, tokens: Any, targets: Any, configuration: Configuration) -> tuple[Any, Any]:
    """(parameters, first moments, second moments, steps), all after one step, and the loss before it."""
    parameters, first, second, step = state
    loss, gradients = jax.value_and_grad(mean_loss)(parameters, tokens, targets, configuration)
    norm = jnp.sqrt(sum((g * g).sum() for g in gradients.values()))
    scale = jnp.minimum(settings.CLIP / jnp.maximum(norm, 1e-12), 1.0)
    step = step + 1
    new = {n: updated(parameters[n], first[n], second[n], scale * g, step) for n, g in gradients.items()}
    parameters, first, second = ({n: parts[i] for n, parts in new.items()} for i in range(3))
    return (parameters, first, second, step), loss


class JaxRival:
    """JAX behind the interface of all contestants (`protocol.Contestant`)."""

    def __init__(self, threads: int):  # XLA takes the number of threads from the environment that the worker sets
        jax.config.update("jax_platforms", "cpu")
        self.versions = {"jax": jax.__version__}

    def prepare(self, configuration: Configuration, weights: Mapping[str, np.ndarray]) -> None:
        """Builds the state, with these weights, and the compiled functions."""
        parameters = {name: jnp.array(weights[name]) for name in weights}
        moments = [{name: jnp.zeros_like(p) for name, p in parameters.items()} for _ in range(2)]
        self.state = (parameters, *moments, jnp.float32(0.0))
        self.run = jax.jit(functools.partial(train_step, configuration=configuration), donate_argnums=0)
        self.differentiate = jax.jit(
            jax.value_and_grad(functools.partial(mean_loss, configuration=configuration)),
        )

    def loss_and_gradients(self, tokens: np.ndarray, targets: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
        """The loss of a batch and all gradients, without an update."""
        loss, gradients = self.differentiate(self.state[0], tokens.astype(np.int32), targets.astype(np.int32))
        return float(loss), {name: np.asarray(gradient) for name, gradient in gradients.items()}

    def step(self, tokens: np.ndarray, targets: np.ndarray) -> float:
        """One training step. Returns the loss before the update."""
        self.state, loss = self.run(self.state, tokens.astype(np.int32), targets.astype(np.int32))
        jax.block_until_ready(self.state)
        return float(loss)
