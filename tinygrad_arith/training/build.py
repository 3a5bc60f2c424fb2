"""From a configuration to the things it describes: task, model, optimizer."""

import importlib.util
from typing import Any

from ..backend import DtypePolicy
from ..models import GPT, GPTConfig
from ..optim import AdamW
from ..tasks import build_task
from .config import Config, TaskConfig
from .errors import UserError


def make_task(config: TaskConfig) -> Any:
    """The task; raises UserError where its options do not fit together."""
    try:
        return build_task(config)
    except ValueError as error:
        raise UserError(str(error)) from error


def make_model(config: Config, task: Any) -> GPT:
    """The model for a task, its shapes checked but its parameters not yet made; raises UserError for a wrong shape."""
    options = config.model
    try:
        return GPT(
            GPTConfig(
                vocabulary=len(task.vocabulary),
                context=task.context,
                d_model=options.d_model,
                layers=options.layers,
                heads=options.heads,
                kv_heads=options.kv_heads,
                ffn=options.ffn,
                activation=options.activation,
                norm=options.norm,
                positions=options.positions,
                tied_head=options.tied_head,
                dropout=options.dropout,
                embedding_std=options.embedding_std,
                weight_gain=options.weight_gain,
            )
        )
    except ValueError as error:
        raise UserError(str(error)) from error


def initialize(model: GPT, config: Config) -> GPT:
    """Make the model's parameters: a pure function of the seed."""
    model.initialize(seed=config.training.seed, policy=DtypePolicy.uniform(config.training.dtype))
    return model


def make_optimizer(config: Config, model: GPT) -> AdamW:
    """AdamW over the flat parameters of an initialized model."""
    options = config.optimizer
    return AdamW(model.flat, betas=(options.beta1, options.beta2), eps=options.eps, weight_decay=options.weight_decay)


def choose_device(name: str) -> str:
    """The device to compute on: `auto` takes the CPU, which is what this version trains on.

    Raises UserError for `cuda`, saying what is missing.
    """
    if name != "cuda":
        return "cpu"
    if importlib.util.find_spec("cupy") is None:
        raise UserError("--device cuda: CuPy is not installed; install it with: pip install 'tinygrad_arith[gpu]'")
    raise UserError("--device cuda: this version trains on the CPU only; use --device cpu")
