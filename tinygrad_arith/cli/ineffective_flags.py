"""Flags that change nothing beside the others: no error, since a preset may hold such an option, but worth a word."""

from collections.abc import Callable, Iterator
from typing import Any

from ..backend.blas import threads_can_be_set
from ..options.option import flag_name
from ..training.config import Config

# An option, whether it does nothing in a configuration on a device, and what it would need.
INEFFECTIVE: tuple[tuple[str, Callable[[Config, str], bool], str], ...] = (
    (
        "rotary_base",
        lambda config, _: getattr(config.model, "positions", "rotary") != "rotary",
        "without --positions rotary",
    ),
    ("final_fraction", lambda config, _: config.optimizer.schedule != "cosine", "without --schedule cosine"),
    ("dampening", lambda config, _: getattr(config.optimizer, "momentum", 1.0) == 0.0, "with --momentum 0"),
    ("coupled_decay", lambda config, _: config.optimizer.weight_decay == 0.0, "without --weight-decay"),
    ("tf32", lambda config, device: device == "cpu", "on the CPU"),
    ("tf32", lambda config, device: device != "cpu" and config.training.dtype != "float32", "without --dtype float32"),
    ("batch_makers", lambda config, device: device == "cpu", "on the CPU"),
    ("workers", lambda config, device: device != "cpu", "on a GPU"),
    ("worker_kind", lambda config, device: device != "cpu", "on a GPU"),
    ("blas_threads", lambda config, device: device != "cpu", "on a GPU"),
    (
        "blas_threads",
        lambda config, device: device == "cpu" and not threads_can_be_set(),
        "on NumPy's BLAS here, which takes as many as it chooses",
    ),
)


def ineffective_flags(given: dict[str, dict[str, Any]], config: Config, device: str) -> Iterator[str]:
    """A sentence for each of the given flags ({section: {field: value}}) that has no effect; `--no-x` never has one."""
    values = {name: value for fields in given.values() for name, value in fields.items()}
    for name, has_no_effect, where in INEFFECTIVE:
        if values.get(name, False) is not False and has_no_effect(config, device):
            yield f"{flag_name(name)}: has no effect {where}"
