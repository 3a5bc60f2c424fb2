"""Optimizers over one flat buffer, clipping by the global norm, schedules of the learning rate."""

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
