"""What the train door prints before and after the training: facts as small tables."""

from pathlib import Path
from typing import Any

from .build import thread_count
from .checkpoints import Progress
from .console import as_bytes, as_duration, console, data_table, facts_table
from .final import Answer, FinalTest
from .presets import changed_options, load_preset, preset_names
from .runs import RunRecord
from .session import Session

ADAMW_BUFFERS = 2  # the first and second moments: as large as the parameters, each


def print_presets() -> None:
    """List all presets: what each trains, what to expect of it, and how it differs from the default."""
    out = console()
    for name in preset_names():
        preset = load_preset(name)
        facts = [("", preset.title), ("expect", preset.expected), ("source", preset.source)]
        changes = changed_options(preset.config)
        facts.append(("options", ", ".join(changes) if changes else "the defaults of every flag"))
        out.print(name, style="bold")
        out.print(facts_table(facts))


def print_plan(session: Session) -> None:
    """Say in a few lines what is about to be trained, on what, for how long, and where it will be kept."""
    record, config = session.record, session.record.config
    training = config.training
    steps = f"{training.steps:,} of {training.batch} examples"
    if session.checkpoint is not None:
        steps += f", going on from step {session.checkpoint.progress.step:,}"
    if record.until is not None:
        steps += f", or until validation exact match reaches {record.until}"
    facts = [
        ("task", session.task.describe()),
        ("model", f"{session.model.parameter_count():,} parameters, {training.dtype}, on the CPU"),
        ("steps", steps),
        ("seed", str(training.seed)),
        ("threads", str(thread_count())),
        ("run", str(session.directory)),
    ]
    console().print(facts_table(facts))


def print_dry_run(record: RunRecord, task: Any, model: Any) -> None:
    """Print the model's table, the memory that training will take, and the implementations that will run."""
    out, config = console(), record.config
    batch = config.training.batch
    report = model.shape_report(batch, task.context)
    out.print(str(model), markup=False)
    optimizer_bytes = ADAMW_BUFFERS * report.parameter_bytes
    total = 2 * report.parameter_bytes + optimizer_bytes + report.activation_bytes
    facts = [
        ("task", task.describe()),
        ("batch", f"{batch} examples of {task.context} tokens, {len(task.vocabulary)} in the vocabulary"),
        ("parameters", f"{report.parameters:,}"),
        ("memory", f"{as_bytes(total)} and what Python and NumPy take themselves, namely"),
        ("", f"{as_bytes(report.parameter_bytes)} parameters, as much again for their gradients"),
        ("", f"{as_bytes(optimizer_bytes)} optimizer state"),
        ("", f"{as_bytes(report.activation_bytes)} activations kept for the backward"),
        ("work", f"{report.flop:.2e} floating-point operations a step, {config.training.steps:,} steps"),
    ]
    out.print(facts_table(facts))
    print_implementations()
    out.print("All shapes fit. Nothing was trained (--dry-run).")


def print_implementations() -> None:
    """Print which implementation runs for each operation used so far."""
    from ..ops.registry import chosen_table

    rows = chosen_table()
    if rows:
        console().print(data_table("implementations", ("operation", "device", "dtype", "implementation"), rows))


def print_result(directory: Path, progress: Progress, test: FinalTest) -> None:
    """Print the test's result, sums with the model's answers, mistakes if there are any, and where the run lies."""
    low, high = test.interval
    out = console()
    facts = [
        ("exact match", f"{test.exact_match:.2%} of {test.count:,} problems never seen ({test.correct:,} right)"),
        ("95 % interval", f"{low:.2%} to {high:.2%}"),
        ("steps", f"{progress.step:,} in {as_duration(progress.seconds)}"),
        ("run", str(directory)),
    ]
    out.print(data_table("sums from the test", COLUMNS, map(answer_row, test.examples)))
    if test.mistakes:
        title = f"{len(test.mistakes)} of {test.count - test.correct:,} mistakes"
        out.print(data_table(title, COLUMNS, map(answer_row, test.mistakes)))
    out.print(facts_table(facts))


COLUMNS = ("true sum", "prompt", "the model's answer", "")


def answer_row(answer: Answer) -> tuple[str, str, str, str]:
    """A problem as a row of the tables."""
    verdict = "right" if answer.right else f"wrong: {answer.right_answer} is right"
    return answer.statement, answer.prompt, answer.answer, verdict
