"""What learns: models, one file each, and generation."""

from .generation import choose_tokens, generate
from .gpt import GPT, GPTConfig
from .shape_report import ShapeReport, report_shapes

__all__ = ["GPT", "GPTConfig", "ShapeReport", "choose_tokens", "generate", "report_shapes"]
