"""What learns: models, one file each, and generation."""

from .attention_maps import attention_maps
from .generation import choose_tokens, generate
from .gpt import GPT, GPTConfig
from .shape_report import ShapeReport, report_shapes
from .window import WindowConfig, WindowGPT, WindowModel, WindowNet

__all__ = [
    "GPT",
    "GPTConfig",
    "ShapeReport",
    "WindowConfig",
    "WindowGPT",
    "WindowModel",
    "WindowNet",
    "attention_maps",
    "choose_tokens",
    "generate",
    "report_shapes",
]
