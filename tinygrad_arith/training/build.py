"""From a configuration to the things it describes: task, model, optimizer, device."""

import dataclasses
from typing import Any

from ..backend import DtypePolicy, obstacle_to_cuda
from ..models import GPT, GPTConfig
from ..optim import AdamW
from ..options.errors import MachineError, UserError
from ..reproductions import WindowConfig, WindowGPT, WindowNet
from ..tasks import build_task
from .config import Config, TaskConfig, TrainingConfig

Model = GPT | WindowGPT | WindowNet


def make_task(config: TaskConfig) -> Any:
    """The task; raises UserError where its options do not fit together."""
    try:
        return build_task(config)
    except ValueError as error:
        raise UserError(str(error)) from error


def make_model(config: Config, task: Any) -> Model:
    """The model for a task, its shapes checked but its parameters not yet made; raises UserError for a wrong shape."""
    options = dataclasses.asdict(config.model)
    architecture, attend_to = options.pop("architecture"), options.pop("attend_to")
    options |= {"vocabulary": len(task.vocabulary), "position_count": task.position_count}
    try:
        if architecture == "gpt":
            return GPT(GPTConfig(**options, context=task.longest_context))
        padding = task.vocabulary.padding
        window = WindowConfig(**options, context=task.context, padding=padding, attend_to=attend_to)
        return WindowGPT(window) if architecture == "window-gpt" else WindowNet(window)
    except ValueError as error:
        raise UserError(str(error)) from error


def initialize(model: Model, config: Config, device: str = "cpu") -> Model:
    """Make the model's parameters on a device, "cpu" or "cuda": a pure function of the seed."""
    training = config.training
    if device == "cuda":
        choose_products(training)
    model.initialize(seed=training.seed, policy=policy_on(device, training.dtype), device=device)
    return model


def policy_on(device: str, dtype: str) -> DtypePolicy:
    """The policy of a `--dtype` on a device. On the CPU a run in bfloat16 is continued in its master's float32."""
    return DtypePolicy.named("float32" if device == "cpu" and dtype == "bfloat16" else dtype)


def choose_products(training: TrainingConfig) -> None:
    """Settles for this process how exactly float32 is multiplied on the GPU."""
    from ..cuda.precision import set_float32_matmul_precision

    set_float32_matmul_precision("tf32" if training.tf32 else "float32")


def make_optimizer(config: Config, model: Model) -> AdamW:
    """AdamW over the flat parameters of an initialized model."""
    options = config.optimizer
    return AdamW(
        model.flat,
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        weight_decay=options.weight_decay,
        decay_all=options.decay_biases,
    )


def choose_device(name: str, dtype: str = "float32") -> str:
    """The device to compute on, "cpu" or "cuda".

    `auto` takes the GPU if there is one that CuPy can use, except for float64, which is for proving gradients.
    Raises MachineError for `cuda` where there is none, saying what is missing.
    """
    if name == "cpu" or (name == "auto" and dtype == "float64"):
        return "cpu"
    obstacle = obstacle_to_cuda()
    if name == "cuda" and obstacle is not None:
        raise MachineError(f"--device cuda: {obstacle}")
    return "cpu" if obstacle is not None else "cuda"


def choose_training_device(training: TrainingConfig) -> str:
    """The device to train on. Raises MachineError where this machine has none that does what is asked for, and
    UserError where none could."""
    if training.dtype == "bfloat16" and training.device == "cpu":
        raise UserError("--dtype bfloat16: trains on a GPU only, and --device is cpu")
    device = choose_device(training.device, training.dtype)
    if training.dtype == "bfloat16" and device == "cpu":
        raise MachineError(f"--dtype bfloat16: trains on a GPU only, and {obstacle_to_cuda()}")
    return device
