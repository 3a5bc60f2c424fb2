"""The kinds of optimizers."""

from ..options.kinds import Kinds

OPTIMIZERS = Kinds(
    "optimizer",
    "--optimizer",
    {
        "adamw": "tinygrad_arith.optim.adamw:AdamW",
        "sgd": "tinygrad_arith.optim.sgd:SGD",
        "lion": "tinygrad_arith.optim.lion:Lion",
    },
)
