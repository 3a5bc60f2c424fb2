"""What people look for under the names of other libraries, and what does it here."""

import difflib
from collections.abc import Iterable

FUNCTIONS = {
    "cat": "concatenate",
    "abs": "where(x < 0, -x, x)",
    "absolute": "where(x < 0, -x, x)",
    "sigmoid": "0.5 * (1 + tanh(0.5 * x))",
    "swiglu": "gated_ffn",
    "geglu": "gated_ffn",
    "swish": "silu",
    "clip": "where(x < low, low, where(x > high, high, x))",
    "clamp": "where(x < low, low, where(x > high, high, x))",
    "maximum": "where(a > b, a, b)",
    "minimum": "where(a < b, a, b)",
    "min": "-max(-x)",
    "amax": "max",
    "pow": "power",
    "square": "x * x",
    "mm": "matmul",
    "bmm": "matmul",
    "dot": "matmul",
    "einsum": "transpose, reshape and matmul",
    "permute": "transpose",
    "view": "reshape",
    "layer_norm": "layernorm",
    "rms_norm": "rmsnorm",
    "scaled_dot_product_attention": "attention",
    "nll_loss": "cross_entropy, which takes logits",
    "mse_loss": "((x - y) ** 2).mean()",
    "split": "indexing: x[:k], x[k:]",
}
METHODS = {
    "abs": "F.where(x < 0, -x, x)",
    "argmax": "x.numpy().argmax()",
    "astype": "Tensor(x.array.astype(dtype)), which has no history",
    "clamp": "F.where(x < low, low, F.where(x > high, high, x))",
    "clip": "F.where(x < low, low, F.where(x > high, high, x))",
    "cpu": "x.numpy()",
    "cuda": "a Tensor of an array of CuPy",
    "dim": "x.ndim",
    "dot": "x @ y",
    "expand": "x + zeros of that shape",
    "expand_dims": "x[None]",
    "flatten": "x.reshape(-1)",
    "matmul": "x @ y",
    "min": "-(-x).max()",
    "mm": "x @ y",
    "numel": "x.size",
    "permute": "x.transpose",
    "pow": "x ** exponent",
    "ravel": "x.reshape(-1)",
    "relu": "F.relu(x)",
    "sigmoid": "0.5 * (1 + (0.5 * x).tanh())",
    "softmax": "F.softmax(x, axis)",
    "log_softmax": "F.log_softmax(x, axis)",
    "squeeze": "x.reshape",
    "std": "((x - x.mean()) ** 2).mean().sqrt()",
    "swapaxes": "x.transpose",
    "to": "Tensor(x.array.astype(dtype)), which has no history",
    "unsqueeze": "x[None]",
    "var": "((x - x.mean()) ** 2).mean()",
    "view": "x.reshape",
}


def of_function(name: str, here: Iterable[str]) -> str:
    """What is said for a function that is not among those that are here."""
    missing = f"there is no function {name} here"
    if name in FUNCTIONS:
        return f"{missing}; {FUNCTIONS[name]} does it"
    close = difflib.get_close_matches(name, here, n=1)
    return f"{missing}; did you mean {close[0]}?" if close else missing


def of_method(name: str) -> str:
    """What is said for an attribute that a tensor does not have."""
    ours = METHODS.get(name)
    return f"a tensor has no {name}" + (f"; {ours} does it" if ours else "")
