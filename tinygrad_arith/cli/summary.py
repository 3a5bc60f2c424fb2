"""What the train command prints before and after the training: facts as small tables."""

import textwrap
from collections.abc import Iterator, Sequence

from ..backend import RandomKey
from ..backend.blas import threads_can_be_set
from ..models.model import Model
from ..models.shape_report import ShapeReport
from ..ops.registry import chosen_table
from ..optim.options import OptimizerOptions
from ..optim.registry import OPTIMIZERS
from ..options.calling import as_typed, command_words
from ..options.kinds import field_names
from ..run_files.checkpoints import Progress
from ..run_files.machine import gpu_names
from ..run_files.metrics import Reached
from ..tasks import Task
from ..tasks.metrics import Metrics, Preview
from ..training.as_flags import flags_that_make
from ..training.build import choose_training_device, initialize, policy_on
from ..training.config import TrainingOptions
from ..training.presets import Preset, changed_options, load_preset, preset_names
from ..training.runs import RunRecord
from ..training.threads import Threads
from ..training.trainer import Session
from ..training.workers import loss_and_gradient
from .console import as_bytes, as_duration, console, data_table, print_facts
from .evaluation_report import goal_facts, preview_table

ADAMW_ARRAYS = 2  # of state that a `ShapeReport` counts
LARGEST_TRIAL = 2**30  # bytes up to which a dry run makes the model, to see which implementations run


def print_presets() -> None:
    """List all presets, each with what it trains, in how many minutes and on what."""
    width = console().width
    for line in preset_lines([load_preset(name) for name in preset_names()], width):
        print(line)
    for note in (
        "Minutes: of the fastest run on that machine. --show NAME tells all about one.",
        "The articles are published trainings, repeated here.",
    ):
        print(textwrap.fill(note, width, break_on_hyphens=False))


def preset_lines(presets: Sequence[Preset], width: int) -> Iterator[str]:
    """A line for each preset or, where the width has no room for it, its name and the rest below."""
    rows = [(preset.name, preset.short or preset.title, *measured_in_words(preset)) for preset in presets]
    names, shorts, minutes, devices = (max(map(len, cells)) for cells in zip(*rows, strict=True))
    for name, short, time, device in rows:
        line = f"{name:<{names}}  {short:<{shorts}}  {time:>{minutes}}  {device}".rstrip()
        if names + shorts + minutes + devices + 3 * len("  ") <= width:
            yield line
        else:
            below = f"{short}; {time} {device}".rstrip()
            yield f"{name}\n{textwrap.fill(below, width, initial_indent='  ', subsequent_indent='  ')}"


def measured_in_words(preset: Preset) -> tuple[str, str]:
    """How many minutes a preset takes, and on what."""
    measured = preset.measured
    return (f"{measured.seconds / 60:.1f} min", measured.device) if measured else ("not measured", "")


def print_preset(preset: Preset) -> None:
    """Tell all about one preset: what it trains, what to expect of it, and how it differs from the default, in the
    words of a file and as flags.
    """
    measured = preset.measured
    took = f"{as_duration(measured.seconds)} ({measured.device}, the fastest run)" if measured else "not measured"
    facts = [(preset.name, preset.title), ("expect", preset.expected), ("source", preset.source)]
    facts += [("published", preset.published)] if preset.published else []
    changes = changed_options(preset.config) or ["the defaults of every flag"]
    print_facts([*facts, ("options", changes[0]), *(("", change) for change in changes[1:]), ("training", took)])
    print("The same in flags:")
    print(as_typed([*command_words("train"), *flags_that_make(preset.config)]))


def print_plan(session: Session) -> None:
    """Say in a few lines what is about to be trained, on what, for how long, and where it will be kept."""
    record, config = session.record, session.record.config
    training = config.training
    facts = [
        ("task", session.task.describe()),
        ("model", f"{session.model.parameter_count():,} parameters, {training.dtype}"),
        ("steps", steps_in_words(session)),
        *optimizer_fact(config.optimizer),
        ("learning rate", rate_in_words(record)),
        ("seed", str(training.seed)),
        device_fact(session.device, training),
        ("run", str(session.directory)),
    ]
    print_facts(facts)


def steps_in_words(session: Session) -> str:
    """How many steps there are, how many are done, and what may end them sooner."""
    training, until = session.record.config.training, session.record.until
    words = f"{training.steps:,} of {training.batch} examples"
    if until is not None:
        words += f", or until validation {session.task.goal.title} reaches {until}"
    if session.checkpoint is None:
        return words
    progress = session.checkpoint.progress
    if not progress.finished(training.steps, until):
        return f"{words}, going on from step {progress.step:,}"
    left = " (--until none goes on to the last step)" if progress.step < training.steps else ""
    return f"{words}: done, at step {progress.step:,}{left}; only tested again"


def optimizer_fact(options: OptimizerOptions) -> list[tuple[str, str]]:
    """Which optimizer it is, where it is not the usual one, and what only it has and is not 0."""
    if options.kind == OptimizerOptions().kind:
        return []
    own = {name: getattr(options, name) for name in field_names(options) if name not in field_names(OptimizerOptions)}
    words = [name if value is True else f"{name} {value:g}" for name, value in own.items() if value]
    return [("optimizer", ", ".join([options.kind, *words]).replace("_", " "))]


def rate_in_words(record: RunRecord) -> str:
    """The peak, the warm-up, and why that is another than the preset's where training is too short for it."""
    options, training = record.config.optimizer, record.config.training
    steps = "1 step" if options.warmup == 1 else f"{options.warmup:,} steps"
    words = f"{options.learning_rate:g} after {steps} of warm-up, {options.schedule}"
    if record.preset in preset_names():
        preset = load_preset(record.preset).config
        warmup = preset.optimizer.warmup
        shortened = warmup * training.steps // preset.training.steps  # see `with_options`
        if warmup > training.steps and options.warmup == shortened:
            words += f" (the {warmup:,} of preset {record.preset} are more than all the steps)"
    return words


def device_fact(device: str, training: TrainingOptions) -> tuple[str, str]:
    """What computes: the threads of the CPU, or the name of the GPU and how exactly it multiplies."""
    if device == "cpu":
        blas = training.blas_threads if threads_can_be_set() else None
        return "threads", str(Threads(training.workers, blas, training.worker_kind))
    rounded = ", matrix multiplications in TF32" if training.tf32 and training.dtype == "float32" else ""
    return "GPU", gpu_names()[0] + rounded


def print_dry_run(record: RunRecord, task: Task, model: Model) -> None:
    """Print the model's table, the memory that training will take, and the implementations that will run."""
    out, training = console(), record.config.training
    device = choose_training_device(training)
    report = model.shape_report(training.batch, task.context, policy_on(device, training.dtype))
    out.print(str(model), markup=False)
    facts = [
        ("task", task.describe()),
        ("batch", f"{training.batch} examples of {task.context} tokens, {len(task.vocabulary)} in the vocabulary"),
        ("parameters", f"{report.parameters:,}"),
        memory_fact(record, report),
        ("", f"{as_bytes(report.activation_bytes)} for activations kept for the backward, at most"),
        ("work", f"{report.flop:.1e} floating-point operations a step, {training.steps:,} steps"),
    ]
    print_facts(facts)
    if report.training_bytes <= LARGEST_TRIAL:
        print_implementations(record, task, model, device)
    out.print("All shapes fit. Nothing was trained (--dry-run).")


def memory_fact(record: RunRecord, report: ShapeReport) -> tuple[str, str]:
    """What parameters, gradients and the arrays of the chosen optimizer take. The report counts two of these."""
    options = record.config.optimizer
    names = OPTIMIZERS.load(options.kind).arrays_of(options)
    held = report.training_bytes + (len(names) - ADAMW_ARRAYS) * report.parameter_bytes
    arrays = " and ".join(name.replace("_", " ") for name in names)
    return "memory", f"{as_bytes(held)} for parameters and gradients" + (
        f", and the optimizer's {arrays}" if arrays else ""
    )


def print_implementations(record: RunRecord, task: Task, model: Model, device: str) -> None:
    """Run one example through the model, there and back, and print which implementation ran for each operation."""
    initialize(model, record.config, device)
    batch = task.train_batch(0, 1, record.config.training.seed).on_device_of(model.flat.values)
    loss_and_gradient(model, task.objective, batch, RandomKey(0, "dropout"), normalizer=1)
    console().print(data_table("implementations", ("operation", "device", "dtype", "implementation"), chosen_table()))


def print_result(
    session: Session, progress: Progress, metrics: Metrics, previews: list[Preview], reached: Reached | None
) -> None:
    """Print examples of what the model does, mistakes if there are any, the test's result, when the goal of `--until`
    was reached, and where the run lies.
    """
    facts = [
        *goal_facts(metrics, f"{metrics.examples} never seen"),
        *until_facts(session, progress, reached),
        ("steps", f"{progress.step:,} in {as_duration(progress.seconds)}"),
        ("run", str(session.directory)),
    ]
    for preview in previews:
        console().print(preview_table(preview))
    print_facts(facts)


def until_facts(session: Session, progress: Progress, reached: Reached | None) -> list[tuple[str, str]]:
    """When the goal of `--until` was reached, or what the newest evaluation came to; nothing where there was none."""
    until, goal = session.record.until, session.task.goal
    if until is None:
        return []
    wanted = f"{goal.title} {until:g} on the validation examples"
    if reached is None:
        newest = "" if progress.value is None else f"; {progress.value:g} at the last evaluation"
        return [("--until", f"{wanted}: not reached{newest}")]
    return [("--until", f"{wanted}: reached at step {reached.step:,}, after {as_duration(reached.seconds)}")]
