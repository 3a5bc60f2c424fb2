"""The same training step in PyTorch, written as one would write it there: nn.Module, fused attention, AdamW."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import settings
from .configurations import Configuration


class Attention(nn.Module):
    """Causal self-attention on one packed projection."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        batch, positions, channels = x.shape
        packed = self.qkv(x).view(batch, positions, 3, self.heads, channels // self.heads)
        q, k, v = packed.permute(2, 0, 3, 1, 4).unbind(0)  # (B, NH, T, HS) each
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, NH, T, HS)
        return self.output(out.transpose(1, 2).reshape(batch, positions, channels))


class FeedForward(nn.Module):
    """C -> F -> C."""

    def __init__(self, channels: int, hidden: int, activation: str):
        super().__init__()
        self.up = nn.Linear(channels, hidden)
        self.activation = nn.ReLU() if activation == "relu" else nn.GELU(approximate="tanh")
        self.down = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        return self.down(self.activation(self.up(x)))


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and with a residual connection."""

    def __init__(self, configuration: Configuration):
        super().__init__()
        channels = configuration.d_model
        self.attention_norm = nn.LayerNorm(channels, eps=settings.LAYERNORM_EPS)
        self.attention = Attention(channels, configuration.heads)
        self.ffn_norm = nn.LayerNorm(channels, eps=settings.LAYERNORM_EPS)
        self.ffn = FeedForward(channels, configuration.hidden, configuration.activation)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        x = x + self.attention(self.attention_norm(x))
        return x + self.ffn(self.ffn_norm(x))


class TorchGPT(nn.Module):
    """tokens, targets (B, T) -> the mean loss over the counted targets. Parameters have the names of ours."""

    def __init__(self, configuration: Configuration):
        super().__init__()
        channels, vocabulary = configuration.d_model, configuration.vocabulary
        self.token_embedding = nn.Embedding(vocabulary, channels)
        self.position_embedding = nn.Embedding(configuration.rows, channels)
        self.blocks = nn.ModuleList(Block(configuration) for _ in range(configuration.layers))
        self.final_norm = nn.LayerNorm(channels, eps=settings.LAYERNORM_EPS)
        self.head = None if configuration.tied else nn.Linear(channels, vocabulary)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        x = self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]  # (B, T, C)
        for block in self.blocks:
            x = block(x)
        x = self.final_norm(x)
        logits = F.linear(x, self.token_embedding.weight) if self.head is None else self.head(x)  # (B, T, V)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)


class TorchRival:
    """PyTorch behind the interface of all contestants (`protocol.Contestant`)."""

    def __init__(self, threads: int, *, fused: bool | None = None, compiled: bool = False):
        torch.set_num_threads(threads)
        self.fused, self.compiled = fused, compiled
        self.versions = {"torch": torch.__version__}

    def prepare(self, configuration: Configuration, weights: Mapping[str, np.ndarray]) -> None:
        """Builds model and optimizer, with these weights."""
        with torch.device("meta"):  # shapes only: no memory is spent on weights that are replaced at once
            self.model = TorchGPT(configuration)
        self.model.to_empty(device="cpu")
        self.transposed = {f"{n}.weight" for n, m in self.model.named_modules() if isinstance(m, nn.Linear)}
        self.parameters = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                self._in_our_layout(name, parameter).copy_(torch.from_numpy(weights[name]))
        self.loss = torch.compile(self.model) if self.compiled else self.model
        decayed = [p for p in self.parameters.values() if p.ndim == 2]
        others = [p for p in self.parameters.values() if p.ndim == 1]
        groups = [
            {"params": decayed, "weight_decay": settings.WEIGHT_DECAY},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            groups, lr=settings.LEARNING_RATE, betas=settings.BETAS, eps=settings.EPS, fused=self.fused
        )

    def _in_our_layout(self, name: str, tensor: Tensor) -> Tensor:
        """PyTorch keeps the weight of a linear layer as (out, in), we as (in, out)."""
        return tensor.T if name in self.transposed else tensor

    def loss_and_gradients(self, tokens: np.ndarray, targets: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
        """The loss of a batch and all gradients in our layout, without an update."""
        self.optimizer.zero_grad()
        loss = self.loss(torch.from_numpy(tokens), torch.from_numpy(targets))
        loss.backward()
        return loss.item(), {n: self._in_our_layout(n, p.grad).numpy() for n, p in self.parameters.items()}

    def step(self, tokens: np.ndarray, targets: np.ndarray) -> float:
        """One training step. Returns the loss before the update."""
        self.optimizer.zero_grad()
        loss = self.loss(torch.from_numpy(tokens), torch.from_numpy(targets))
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), settings.CLIP)
        self.optimizer.step()
        return loss.item()
