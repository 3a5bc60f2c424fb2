"""The same step in PyTorch: eager, compiled, and captured whole as one CUDA graph.

The model is that of the CPU's benchmark. In bfloat16 it runs under autocast, with weights, gradients and AdamW in
float32, as ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from cpu_rivals import settings
from cpu_rivals.configurations import Configuration
from cpu_rivals.torch_gpt import TorchGPT
from torch import Tensor, nn

WARM_UP = 3  # before a capture, as PyTorch asks for


class TorchStep:
    """See `contestants.Contestant`. Subclasses say how the step is run."""

    note = ""

    def __init__(self, configuration: Configuration, weights: Mapping[str, np.ndarray], precision: str):
        torch.set_float32_matmul_precision("highest" if precision == "float32" else "high")
        self.half = precision == "bfloat16"
        self.weights = weights
        with torch.device("meta"):
            self.model = TorchGPT(configuration)
        self.model.to_empty(device="cuda")
        self.transposed = {f"{n}.weight" for n, m in self.model.named_modules() if isinstance(m, nn.Linear)}
        self.parameters = dict(self.model.named_parameters())
        self.load_weights()
        self.optimizer = self.make_optimizer()
        self.pinned: dict[int, Tensor] = {}  # by the array's identity: it is prepared once, as ours
        self.kept: list[Tensor] = []  # losses since the last look

    def load_weights(self) -> None:
        """The weights that everybody starts from."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                self.in_our_layout(name, parameter).copy_(torch.from_numpy(self.weights[name]))

    def in_our_layout(self, name: str, tensor: Tensor) -> Tensor:
        """PyTorch keeps the weight of a linear layer as (out, in), we as (in, out)."""
        return tensor.T if name in self.transposed else tensor

    def make_optimizer(self, **options: Any) -> torch.optim.Optimizer:
        """AdamW in one kernel, with weight decay on matrices."""
        groups = [
            {"params": [p for p in self.parameters.values() if p.ndim == 2], "weight_decay": settings.WEIGHT_DECAY},
            {"params": [p for p in self.parameters.values() if p.ndim == 1], "weight_decay": 0.0},
        ]
        numbers = {"lr": settings.LEARNING_RATE, "betas": settings.BETAS, "eps": settings.EPS}
        return torch.optim.AdamW(groups, fused=True, **numbers, **options)

    def loss_of(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """The mean loss, ()."""
        with torch.autocast("cuda", torch.bfloat16, enabled=self.half, cache_enabled=False):
            return self.model(tokens, targets)

    def loss_and_gradients(self, tokens: np.ndarray, targets: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
        """The loss of a batch and all gradients in our layout, without an update."""
        self.optimizer.zero_grad()
        loss = self.loss_of(*(torch.from_numpy(array).cuda() for array in (tokens, targets)))
        loss.backward()
        gradients = {n: self.in_our_layout(n, p.grad).cpu().numpy() for n, p in self.parameters.items()}
        self.optimizer.zero_grad()
        return loss.item(), gradients

    def on_the_way(self, array: np.ndarray) -> Tensor:
        """A batch in pinned memory, from which the copy to the GPU runs beside everything else."""
        if id(array) not in self.pinned:
            self.pinned[id(array)] = torch.from_numpy(array).pin_memory()
        return self.pinned[id(array)]

    def update(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """The whole step; returns the loss before the update, ()."""
        self.optimizer.zero_grad()
        loss = self.loss_of(tokens, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters.values(), settings.CLIP)
        self.optimizer.step()
        return loss

    def enqueue(self, tokens: np.ndarray, targets: np.ndarray) -> None:
        """One step; returns while the GPU computes."""
        there = [self.on_the_way(array).to("cuda", non_blocking=True) for array in (tokens, targets)]
        self.keep(self.update(*there))

    def keep(self, loss: Tensor) -> None:
        """Remembers a loss for `losses`."""
        if len(self.kept) < 64:  # enough for the check; in the timing nobody asks
            self.kept.append(loss.detach().clone())

    def losses(self) -> list[float]:
        """Those of the steps since the last call, in order."""
        found = [loss.item() for loss in self.kept]
        self.kept.clear()
        return found

    def close(self) -> None:
        """Lets the memory go."""
        self.__dict__.clear()
        torch.compiler.reset()
        torch.cuda.empty_cache()


class Compiled(TorchStep):
    """torch.compile of the model, with its own CUDA graphs for forward and backward."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.compiled = torch.compile(self.model, mode="reduce-overhead")

    def update(self, tokens: Tensor, targets: Tensor) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        self.optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=self.half):
            loss = self.compiled(tokens, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters.values(), settings.CLIP)
        self.optimizer.step()
        return loss


class Graphed(TorchStep):
    """Forward, backward, clipping and AdamW captured as one graph and replayed."""

    graph: Any = None

    def make_optimizer(self, **options: Any) -> torch.optim.Optimizer:
        return super().make_optimizer(capturable=True, **options)

    def capture(self, tokens: np.ndarray, targets: np.ndarray) -> None:
        """Warms up, captures, and goes back to the start."""
        self.inputs = [torch.from_numpy(array).cuda() for array in (tokens, targets)]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self.update(*self.inputs)
        torch.cuda.current_stream().wait_stream(aside)
        self.optimizer.zero_grad()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self.update(*self.inputs)
        self.load_weights()
        for state in self.optimizer.state.values():
            for tensor in state.values():
                tensor.zero_()

    def enqueue(self, tokens: np.ndarray, targets: np.ndarray) -> None:
        if self.graph is None:
            self.capture(tokens, targets)
        for there, array in zip(self.inputs, (tokens, targets), strict=True):
            there.copy_(self.on_the_way(array), non_blocking=True)
        self.graph.replay()
        self.keep(self.loss)
