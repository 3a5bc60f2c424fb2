"""What only a published article (https://zenn.dev/char/articles/afdf5b9a1d46eb) needs: models that see a whole
window of tokens at once.
"""

from .batch_tensor_norm import BatchTensorNorm
from .window import WindowConfig, WindowGPT, WindowModel, WindowNet

__all__ = ["BatchTensorNorm", "WindowConfig", "WindowGPT", "WindowModel", "WindowNet"]
