"""What learns: models, one file each."""

from .attention_maps import attention_maps
from .gpt import GPT, GPTConfig
from .shape_report import ShapeReport, report_shapes

__all__ = ["GPT", "GPTConfig", "ShapeReport", "attention_maps", "report_shapes"]
