"""All that decides what a training run computes: the options of its task, its model, its optimizer and its training.

Which options there are follows from the kinds that are chosen (see `options/kinds.py`). The command-line flags, the
presets and the `config.json` of a run are all read against them, so that an option is written down once, where it
belongs.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from ..models.registry import MODELS
from ..optim.adamw import AdamWOptions
from ..optim.options import OptimizerOptions
from ..optim.registry import OPTIMIZERS
from ..options.errors import UserError, as_user_error
from ..options.kinds import Kinds, changed_options, check_keys, read_options
from ..options.option import Options, option
from ..tasks.registry import TASKS, resolve


@dataclass(frozen=True)
class TrainingOptions(Options):
    """How long, on how much, where, and how often to look and to save."""

    steps: int = option(600, "optimizer steps", range=(1, 99_999_999))
    batch: int = option(128, "examples per step", range=(1, None))
    seed: int = option(
        1, "of initial weights, batches and dropout: same seed on the same machine, same bits", range=(0, 2**63)
    )
    eval_every: int = option(50, "steps between evaluations on validation problems", range=(1, None))
    eval_size: int = option(0, "validation problems per evaluation; 0: all of them", range=(0, None))
    checkpoint_every: int = option(100, "steps between checkpoints; the last step always saves one", range=(1, None))
    keep_checkpoints: int = option(2, "newest checkpoints to keep", range=(1, None))
    workers: int = option(0, "that share each batch, one a core; 0: chosen by the size of a step", range=(0, 1024))
    worker_kind: str = option(
        "processes", "what a worker is: processes do not wait for each other", choices=("processes", "threads")
    )
    batch_makers: int = option(3, "processes that prepare batches ahead while a GPU computes; 0: none", range=(0, 64))
    blas_threads: int = option(
        0,
        "threads of each matrix multiplication; 0: what the workers leave, 1 in a small step",
        range=(0, 1024),
    )
    dtype: str = option(
        "float32",
        "of weights, activations and gradients; bfloat16 (GPU only) stores weights and gradients in float32",
        choices=("float32", "bfloat16", "float64"),
    )
    tf32: bool = option(
        False, "on the GPU, round the factors of float32 matrix multiplications to 11 bits: several times faster"
    )
    device: str = option("auto", "where to compute; auto: on a GPU if there is one", choices=("auto", "cpu", "cuda"))


class Training:
    """The one kind of training: steps on batches."""

    options = TrainingOptions


TRAINING = Kinds("training", "", {"": "tinygrad_arith.training.config:Training"})
SECTIONS: dict[str, Kinds] = {"task": TASKS, "model": MODELS, "optimizer": OPTIMIZERS, "training": TRAINING}


@dataclass(frozen=True)
class Config:
    """All of a run's options, in four sections. Names of options are unique across the sections."""

    task: Any = dataclasses.field(default_factory=lambda: TASKS.options_of()())
    model: Any = dataclasses.field(default_factory=lambda: MODELS.options_of()())
    optimizer: OptimizerOptions = dataclasses.field(default_factory=AdamWOptions)
    training: TrainingOptions = dataclasses.field(default_factory=TrainingOptions)

    def resolved(self) -> "Config":
        """The same configuration with every size that was left to be chosen (0) as a number.

        Raises UserError, one sentence that names the flags, if sections do not fit together.
        """
        with as_user_error():
            task = resolve(self.task)
        training = dataclasses.replace(self.training, eval_size=self.training.eval_size or task.validation_size)
        config = dataclasses.replace(self, task=task, training=training)
        check_together(config)
        return config

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The sections as plain dictionaries, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Any, source: str = "config") -> "Config":
        """The reverse of `to_dict`; what is not given keeps its default.

        Raises UserError naming `source` and the key that is unknown (with the nearest known one) or ill-typed.
        """
        check_keys(values, tuple(SECTIONS), source, prefix="")
        sections: Any = {name: read_options(SECTIONS[name], section, source) for name, section in values.items()}
        return cls(**sections)


def changed(config: Config, given: dict[str, dict[str, Any]]) -> Config:
    """The configuration with other values for some options, given as {section: {option: value}}.

    Raises UserError for an option that the chosen kind does not have, and for a value that is not allowed.
    """
    sections: Any = {
        name: changed_options(getattr(config, name), SECTIONS[name], values) for name, values in given.items()
    }
    return dataclasses.replace(config, **sections)


def with_options(base: Config, given: dict[str, dict[str, Any]]) -> Config:
    """`base` changed by the options that a user gave.

    Another family of tasks evaluates on all of its validation problems. A warm-up that is not given and is longer than
    so few steps becomes as large a part of them as it is in `base`.
    """
    config = changed(base, given)
    if config.task.family != base.task.family and "eval_size" not in given.get("training", {}):
        config = changed(config, {"training": {"eval_size": 0}})
    steps, warmup = config.training.steps, config.optimizer.warmup
    if "warmup" in given.get("optimizer", {}) or warmup <= steps:
        return config
    return changed(config, {"optimizer": {"warmup": warmup * steps // base.training.steps}})


def check_together(config: Config) -> None:
    """The rules that bind options of two sections; raises UserError naming both."""
    task, training, model = config.task, config.training, MODELS.load(config.model.kind)
    if config.optimizer.warmup > training.steps:
        raise UserError(
            f"--warmup {config.optimizer.warmup}: longer than the {training.steps} steps of the whole training; "
            "without --warmup it is as large a part of them as in the preset"
        )
    if 0 < task.validation_size < training.eval_size:
        raise UserError(f"--eval-size {training.eval_size}: larger than the --validation-size {task.validation_size}")
    if training.workers > training.batch:
        raise UserError(f"--workers {training.workers}: more than the --batch {training.batch} that they share")
    needed = f"for --architecture {config.model.kind}"
    if task.rows != model.rows:
        raise UserError(f"--rows {task.rows}: must be {model.rows} {needed}")
    dtypes = getattr(model, "dtypes", (training.dtype,))
    if training.dtype not in dtypes:
        raise UserError(f"--dtype {training.dtype}: must be {' or '.join(dtypes)} {needed}")
    if getattr(config.model, "sees_whole_batch", False) and training.workers != 1:
        raise UserError(f"--workers {training.workers}: must be 1 for --normalization batch-tensor")
