"""Optimizers over one flat buffer, clipping by the global norm, schedules of the learning rate."""

from typing import NoReturn

from .adamw import AdamW
from .clipping import clip_gradient_norm, clip_scale, gradient_norm
from .lion import Lion
from .optimizer import FlatOptimizer, Optimizer
from .schedules import learning_rate
from .sgd import SGD

__all__ = [
    "SGD",
    "AdamW",
    "FlatOptimizer",
    "Lion",
    "Optimizer",
    "clip_gradient_norm",
    "clip_scale",
    "gradient_norm",
    "learning_rate",
]

KINDS_ELSEWHERE = {"Adam": "AdamW(model.flat, weight_decay=0.0)", "Momentum": "SGD(model.flat, momentum=0.9)"}


def __getattr__(name: str) -> NoReturn:  # of what is not here
    ours = KINDS_ELSEWHERE.get(name)
    raise AttributeError(f"there is no {name} in optim" + (f"; {ours} does it" if ours else ""))
