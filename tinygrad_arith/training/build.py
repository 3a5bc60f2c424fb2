"""From a configuration to the things it describes: task, model, optimizer, device."""

from ..backend import DtypePolicy, obstacle_to_cuda
from ..models.model import Model
from ..models.registry import MODELS, TaskSizes
from ..optim import FlatOptimizer
from ..optim.registry import OPTIMIZERS
from ..options.errors import MachineError, UserError, as_user_error
from ..tasks import Task, TaskOptions, build_task
from .config import Config, TrainingOptions

MOST_PARAMETERS = 2**45  # in float32 they fill the addresses that a process can have
TOO_MANY = "more than any machine has memory for; choose a smaller --d-model, --ffn or --layers"


def make_task(config: TaskOptions) -> Task:
    """The task; raises UserError where its options do not fit together."""
    with as_user_error():
        return build_task(config)


def make_model(config: Config, task: Task) -> Model:
    """The model for a task, its shapes checked but its parameters not yet made; raises UserError for a wrong shape."""
    tokens = task.vocabulary
    sizes = TaskSizes(len(tokens.tokens), task.context, task.longest_context, task.position_count, tokens.padding)
    with as_user_error():
        model = MODELS.load(config.model.kind).from_options(config.model, sizes)
    count = model.parameter_count()
    if count > MOST_PARAMETERS:
        raise UserError(f"--d-model {config.model.d_model}: the model would have {count:.1e} parameters, {TOO_MANY}")
    return model


def initialize(
    model: Model, config: Config, device: str = "cpu", *, draw: bool = True, gradients: bool = True
) -> Model:
    """Make the model's parameters on a device, "cpu" or "cuda": a pure function of the seed.

    On a GPU it is set for the whole process how exactly float32 matrices are multiplied.
    """
    training = config.training
    if device == "cuda":
        from ..cuda.precision import set_float32_matmul_precision

        set_float32_matmul_precision("tf32" if training.tf32 else "float32")
    model.allocate(policy_on(device, training.dtype), device, gradients)
    if draw:
        model.flat.initialize(training.seed)
    return model


def policy_on(device: str, dtype: str) -> DtypePolicy:
    """The policy of a `--dtype` on a device. On the CPU a run in bfloat16 is continued in its master's float32."""
    return DtypePolicy.named("float32" if device == "cpu" and dtype == "bfloat16" else dtype)


def make_optimizer(config: Config, model: Model) -> FlatOptimizer:
    """The optimizer over the flat parameters of an initialized model."""
    return OPTIMIZERS.load(config.optimizer.kind).from_options(config.optimizer, model.flat)


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


def choose_training_device(training: TrainingOptions) -> str:
    """The device to train on. Raises MachineError where this machine has none that does what is asked for, and
    UserError where none could."""
    needed = "--dtype bfloat16: trains on a GPU only, and"
    if training.dtype == "bfloat16" and training.device == "cpu":
        raise UserError(f"{needed} --device is cpu")
    device = choose_device(training.device, training.dtype)
    if training.dtype == "bfloat16" and device == "cpu":
        raise MachineError(f"{needed} {obstacle_to_cuda()}")
    return device
