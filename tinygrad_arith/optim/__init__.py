"""AdamW over one flat buffer, clipping by the global norm, schedules of the learning rate."""

from .adamw import AdamW
from .clipping import clip_gradient_norm, clip_scale, gradient_norm
from .schedules import learning_rate

__all__ = ["AdamW", "clip_gradient_norm", "clip_scale", "gradient_norm", "learning_rate"]
