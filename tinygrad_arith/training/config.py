"""Everything that decides what a training run computes, as frozen dataclasses.

A field carries its own help text and limits (see `options/option.py`). The command-line flags (`flags.py`), the presets
(`presets.py`) and the `config.json` of a run are all read and checked against these fields, so that an option is
written down once, here.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..options.errors import UserError
from ..options.option import check_defaults, check_options, complaint_about, did_you_mean, flag_name, option
from ..tasks import TaskConfig
from ..tasks.config import FOREIGN as TASK_FOREIGN
from ..tasks.config import OWN_SIZES as TASK_SIZES


@dataclass(frozen=True)
class ModelOptions:
    """The model. Its vocabulary and context length are not options: they come from the task."""

    architecture: str = option(
        "gpt",
        "gpt: a causal decoder; window-gpt, window-net: one token from a whole window (the Julia article)",
        choices=("gpt", "window-gpt", "window-net"),
    )
    d_model: int = option(64, "channels of the residual stream", range=(1, None))
    layers: int = option(2, "number of transformer blocks; of window-net: hidden layers", range=(1, None))
    heads: int = option(4, "attention heads; must divide --d-model", range=(1, None))
    kv_heads: int = option(0, "heads for keys and values, a divisor of --heads; 0: as many as --heads", range=(0, None))
    ffn: int = option(0, "hidden channels of the feed-forward layer; 0: four times --d-model", range=(0, None))
    activation: str = option("relu", "of the feed-forward layer", choices=("relu", "gelu", "gelu-exact"))
    norm: str = option("pre", "norm before each sub-layer, or after its residual sum", choices=("pre", "post"))
    normalization: str = option(
        "layernorm",
        "what a norm does; batch-tensor: layer norm over a whole batch, as the Julia article's code has it",
        choices=("layernorm", "rmsnorm", "none", "batch-tensor"),
    )
    positions: str = option(
        "learned",
        "what is made of a token's position id: a row of a table, sinusoids, a turn of queries and keys, nothing",
        choices=("learned", "sinusoidal", "rotary", "none"),
    )
    rotary_base: float = option(10_000.0, "of rotary positions: the longest wave in units of 2 pi", range=(1.0, None))
    attend_to: str = option(
        "tokens",
        "what window-gpt's attention sees: the tokens, or only the padding (as the Julia article's code)",
        choices=("tokens", "padding"),
    )
    tied_head: bool = option(False, "use the token embedding as the output layer too")
    dropout: float = option(0.0, "share of activations dropped while training", range=(0.0, 0.99))
    embedding_std: float = option(0.05, "standard deviation of the initial embeddings", range=(0.0, None))
    weight_gain: float = option(0.3, "initial weights have this standard deviation / sqrt(inputs)", range=(0.0, None))
    scale_residuals: bool = option(
        True, "divide by sqrt(2 layers) the initial weights that write into the residual stream"
    )


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with decoupled weight decay, clipping by the global norm, and the learning rate over the steps."""

    learning_rate: float = option(2e-3, "peak learning rate", range=(0.0, None))
    beta1: float = option(0.9, "decay of AdamW's first moment per step", range=(0.0, 0.999999))
    beta2: float = option(0.95, "decay of AdamW's second moment per step", range=(0.0, 0.999999))
    eps: float = option(1e-8, "added to the root of AdamW's second moment", range=(1e-30, None))
    weight_decay: float = option(0.01, "decoupled decay of the weights", range=(0.0, None))
    decay_biases: bool = option(False, "decay biases and norm scales too")
    train_biases: bool = option(True, "off: biases and norm scales keep what they start with")
    clip: float = option(1.0, "gradients are scaled down to this global norm; 0: never", range=(0.0, None))
    schedule: str = option("cosine", "learning rate after the warm-up", choices=("cosine", "constant"))
    warmup: int = option(
        50,
        "steps over which the learning rate rises from 0 to its peak; if not given and longer than --steps, as large a "
        "part of them as in the preset",
        range=(0, None),
    )
    final_fraction: float = option(0.0, "where cosine ends, as a fraction of the peak", range=(0.0, 1.0))


@dataclass(frozen=True)
class TrainingConfig:
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
    blas_threads: int = option(0, "threads of each matrix product; 0: what the workers leave", range=(0, 1024))
    dtype: str = option(
        "float32",
        "of weights, activations and gradients; bfloat16 (GPU only) stores weights and gradients in float32",
        choices=("float32", "bfloat16", "float64"),
    )
    tf32: bool = option(False, "on the GPU, round the factors of float32 products to 11 bits: several times faster")
    device: str = option("auto", "where to compute; auto: on a GPU if there is one", choices=("auto", "cpu", "cuda"))


@dataclass(frozen=True)
class Config:
    """All of a run's options, in four sections. Field names are unique across the sections."""

    task: TaskConfig = field(default_factory=TaskConfig)
    model: ModelOptions = field(default_factory=ModelOptions)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def validate(self, train_size: int | None = None) -> "Config":
        """Check every value and how they fit together; returns self.

        `train_size` is the number of training problems of the task, where it is known.
        Raises UserError: one sentence that names the flag.
        """
        try:
            self.task.validate()
            for section in (self.model, self.optimizer, self.training):
                check_options(section)
            architecture = self.model.architecture
            check_defaults(self.model, FOREIGN[architecture], f"--architecture {architecture}")
        except ValueError as error:
            raise UserError(str(error)) from error
        check_together(self)
        batch, once = self.training.batch, self.task.draws == "epochs" and self.task.rows == "whole"
        if once and train_size is not None and batch > train_size:
            raise UserError(
                f"--batch {batch}: larger than the {train_size:,} training problems of this task, which come once an "
                "epoch each (--draws random draws with replacement)"
            )
        return self

    def resolved(self) -> "Config":
        """The same configuration with every size that was left to be chosen (0) as a number."""
        task = self.task.resolved()
        eval_size = self.training.eval_size or task.validation_size
        return dataclasses.replace(self, task=task, training=dataclasses.replace(self.training, eval_size=eval_size))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The sections as plain dictionaries, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Any, source: str = "config") -> "Config":
        """The reverse of `to_dict`; what is not given keeps its default.

        Raises UserError naming `source` and the key that is unknown (with the nearest known one) or ill-typed.
        """
        names = section_names()
        check_keys(values, names, source, prefix="")
        sections = {name: section_from_dict(name, values[name], source) for name in names if name in values}
        return cls(**sections)


def changed(config: Config, changes: dict[str, dict[str, Any]]) -> Config:
    """The configuration with other values for some options, given as {section: {field: value}}."""
    sections = {name: dataclasses.replace(getattr(config, name), **values) for name, values in changes.items()}
    return dataclasses.replace(config, **sections)


def with_options(base: Config, given: dict[str, dict[str, Any]]) -> Config:
    """`base` changed by the options that a user gave.

    With a task of another kind, what `base` says of its own task and means nothing for that one, or is the size of
    something, does not count. A warm-up that is not given and is longer than so few steps becomes as large a part of
    them as it is in `base`.
    """
    config = changed(without_own_task(base, given.get("task", {})), given)
    steps, warmup = config.training.steps, config.optimizer.warmup
    if "warmup" in given.get("optimizer", {}) or warmup <= steps:
        return config
    return changed(config, {"optimizer": {"warmup": warmup * steps // base.training.steps}})


def without_own_task(base: Config, given: dict[str, Any]) -> Config:
    """What of a preset stays where the options given for its task name one of another kind."""
    try:
        kind = dataclasses.replace(base.task, task=given.get("task", base.task.task)).kind
    except ValueError:  # told when all is checked
        return base
    if kind == base.task.kind:
        return base
    fresh = {name: getattr(TaskConfig(), name) for name in (*TASK_FOREIGN[kind], *TASK_SIZES)}
    return changed(base, {"task": fresh, "training": {"eval_size": 0}})


SECTION_CLASSES: dict[str, type] = {
    "task": TaskConfig,
    "model": ModelOptions,
    "optimizer": OptimizerConfig,
    "training": TrainingConfig,
}


def section_names() -> tuple[str, ...]:
    """The names of the sections, in the order in which help and files list them."""
    return tuple(SECTION_CLASSES)


def all_fields(sections: tuple[str, ...] | None = None) -> Iterator[tuple[str, dataclasses.Field]]:
    """Each option as (section name, field), of all sections or of those given."""
    for section in sections or section_names():
        for option_field in dataclasses.fields(SECTION_CLASSES[section]):
            yield section, option_field


def check_together(config: Config) -> None:
    """The rules that bind two options; raises UserError naming both."""
    check_model(config)
    optimizer, training = config.optimizer, config.training
    if optimizer.warmup > training.steps:
        raise UserError(
            f"--warmup {optimizer.warmup}: longer than the {training.steps} steps of the whole training; "
            "without --warmup it is as large a part of them as in the preset"
        )
    validation_size = config.task.resolved().validation_size
    if training.eval_size > validation_size:
        raise UserError(f"--eval-size {training.eval_size}: larger than the --validation-size {validation_size}")


def check_model(config: Config) -> None:
    """The rules that bind a model option to another option; raises UserError naming both."""
    model = config.model
    check_architecture(config)
    if model.positions == "sinusoidal" and model.d_model % 2:
        raise UserError(f"--d-model {model.d_model}: must be even for --positions sinusoidal")
    if "heads" not in FOREIGN[model.architecture]:
        check_heads(model)


def check_heads(model: ModelOptions) -> None:
    """What attention needs of its heads; raises UserError naming the options."""
    if model.d_model % model.heads:
        raise UserError(f"--heads {model.heads}: must divide --d-model {model.d_model}")
    if model.kv_heads and model.heads % model.kv_heads:
        raise UserError(f"--kv-heads {model.kv_heads}: must divide --heads {model.heads}")
    if model.positions == "rotary" and (head_size := model.d_model // model.heads) % 2:
        raise UserError(
            f"--positions rotary: turns pairs of channels, but --d-model {model.d_model} with --heads {model.heads} "
            f"leaves {head_size} a head, which is odd"
        )


def check_architecture(config: Config) -> None:
    """What an architecture needs of the other options; raises UserError naming both."""
    architecture, training = config.model.architecture, config.training
    for name, values in ALLOWED[architecture].items():
        value = getattr(config.task if name == "rows" else training if name == "dtype" else config.model, name)
        if value not in values:
            words = [str(word).lower() for word in (value, *values)]
            needed = f"must be {' or '.join(words[1:])} for --architecture {architecture}"
            raise UserError(f"{flag_name(name)} {words[0]}: {needed}")
    if config.model.normalization == "batch-tensor" and training.workers != 1:  # several see a part of the batch each
        raise UserError(f"--workers {training.workers}: must be 1 for --normalization batch-tensor")


# What options an architecture takes, of those that are not for all: by their names, the values that are allowed.
NORMS = ("layernorm", "rmsnorm", "none")
WINDOW: dict[str, tuple] = {"rows": ("prefix",), "tied_head": (False,), "dtype": ("float32", "float64")}
ALLOWED: dict[str, dict[str, tuple]] = {
    "gpt": {"rows": ("whole",), "attend_to": ("tokens",), "normalization": NORMS},
    "window-gpt": WINDOW,
    "window-net": WINDOW | {"positions": ("learned", "sinusoidal", "none")},
}
# What options mean nothing for an architecture: they must keep their defaults.
FOREIGN: dict[str, tuple[str, ...]] = {
    "gpt": (),
    "window-gpt": (),
    "window-net": (
        "heads",
        "kv_heads",
        "ffn",
        "norm",
        "normalization",
        "scale_residuals",
        "rotary_base",
        "attend_to",
    ),
}


def check_keys(values: Any, known: tuple[str, ...], source: str, prefix: str) -> None:
    """Raise UserError unless `values` is a dictionary with known keys only."""
    if not isinstance(values, dict):
        raise UserError(f"{source}: {prefix.rstrip('.') or 'the whole'} must be a table of options, not {values!r}")
    for key in values:
        if key not in known:
            raise UserError(f"{source}: unknown key {prefix}{key}{did_you_mean(key, known)}")


def section_from_dict(section: str, values: Any, source: str) -> Any:
    """One section from its dictionary; raises UserError for an unknown key or a value that is not allowed."""
    fields = {f.name: f for f in dataclasses.fields(SECTION_CLASSES[section])}
    check_keys(values, tuple(fields), source, prefix=f"{section}.")
    for key, value in values.items():
        complaint = complaint_about(fields[key], value)
        if complaint:
            raise UserError(f"{source}: {section}.{key} = {value!r}: {complaint}")
    as_float = {key: float(value) for key, value in values.items() if fields[key].type is float}
    return SECTION_CLASSES[section](**{**values, **as_float})
