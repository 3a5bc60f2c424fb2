"""What only a published article needs: models that see a whole window of tokens at once."""

from .window import WindowConfig, WindowGPT, WindowModel, WindowNet

__all__ = ["WindowConfig", "WindowGPT", "WindowModel", "WindowNet"]
