"""Trains the runs of a comparison as processes side by side: each is a `python -m tinygrad_arith.train` of its own.

What a process prints goes to `<run>.log` beside the run's directory. A run that fails leaves the others alone. On
Ctrl-C every process is asked to save and stop; started again, the comparison goes on from there.
"""

import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen
from typing import Any

from ..backend import available_cores, library_of
from ..files.reading import is_number, is_whole, parse_json, read_json
from ..files.writing import write_json
from ..options.errors import UserError, as_misuse
from ..options.option import as_flag, flag_name
from ..parallel.child_process import python_module
from ..parallel.interrupts import StopSignals, ask_to_stop, stopped_by_us_alone
from ..run_files.metrics import FILE_NAME as METRICS
from ..tasks.metrics import Goal
from ..tasks.registry import TASKS
from ..training.build import choose_training_device
from ..training.config import SECTIONS, Config, TrainingOptions, changed, with_options
from ..training.presets import Preset
from ..training.runs import CONFIG_FILE, RunRecord, read_record
from ..training.session import plan
from .finished_runs import MACHINE_OPTIONS, is_finished, option_values

JOURNAL_FILE = "journal.json"
LOOK_EVERY = 0.1  # seconds between looks at the processes
ONE_CORE = ("workers", "blas_threads")  # options that are 1 where a run has one core


@dataclass(frozen=True)
class Job:
    """A run to be trained: a preset with a seed and the flags that the user gave."""

    preset: str
    config: Config
    directory: Path
    flags: tuple[str, ...]  # of the train command, beside --preset, --seed and --out

    @property
    def name(self) -> str:
        """What the run is called: `<job_name>-seed<seed>`."""
        return self.directory.name

    @property
    def steps(self) -> int:
        """How many steps it takes."""
        return self.config.training.steps

    @property
    def goal(self) -> Goal:
        """The metric that it is judged by."""
        return TASKS.load(self.config.task.kind).goal

    def command(self) -> list[str]:
        """What the train command is given to start the run, or to go on with it where there is one."""
        if (self.directory / CONFIG_FILE).is_file():
            return ["--resume", str(self.directory)]
        seed = f"--seed={self.config.training.seed}"
        return ["--preset", self.preset, seed, "--out", str(self.directory), *self.flags]


def plan_jobs(presets: Sequence[Preset], given: dict[str, dict[str, Any]], seeds: int, out: Path) -> list[Job]:
    """Every preset, changed by the given flags, with so many seeds: the preset's own (or --seed) and those after it.

    The seeds take turns, so that after a while there is something to compare. Raises UserError for a configuration that
    will not do, and for a run in `out` that was made with other options.
    """
    jobs = []
    with as_misuse():
        for number in range(seeds):
            for preset in presets:
                config = with_options(preset.config, given)
                config = changed(config, {"training": {"seed": config.training.seed + number}}).resolved()
                directory = out / f"{job_name(preset, config)}-seed{config.training.seed}"
                jobs.append(Job(preset.name, config, directory, tuple(flags_of(given))))
        for job in jobs[: len(presets)]:
            plan(job.config)
    for job in jobs:
        check_same_options(job)
    return jobs


def job_name(preset: Preset, config: Config) -> str:
    """The preset and, if the configuration has another task than that, the task: `binary-plain-Sorting`."""
    name = RunRecord(config, preset.name).name
    return preset.name if name == preset.name else f"{preset.name}-{name}"


def flags_of(given: dict[str, dict[str, Any]]) -> list[str]:
    """Options as flags for the train command, but for the seed, of which there are several."""
    options = {
        (SECTIONS[section].flag.removeprefix("--") if name == "kind" else name): value
        for section, fields in given.items()
        for name, value in fields.items()
    }
    return [flag_of(name, value) for name, value in options.items() if name != "seed"]


def flag_of(name: str, value: Any) -> str:
    """An option with its value as a flag: `--steps=600`, `--tf32`, `--no-tf32`."""
    return as_flag(flag_name(name), value)


def check_same_options(job: Job) -> None:
    """Raise UserError if the directory of a job holds a run that was made with other options than the job's."""
    if not (job.directory / CONFIG_FILE).is_file():
        return
    there, wanted = option_values(read_record(job.directory).config), option_values(job.config)
    for name, value in wanted.items():
        if name not in MACHINE_OPTIONS and there.get(name) != value:
            raise UserError(
                f"{job.directory}: was trained with {flag_name(name)} {there.get(name)}, not {value}; "
                "choose another --out"
            )


def one_core_flags(training: TrainingOptions) -> list[str]:
    """What gives a new run one core, unless its own options say otherwise."""
    return [flag_of(name, 1) for name in ONE_CORE if not getattr(training, name)]


def make_slots(training: Sequence[TrainingOptions], count: int | None) -> list[dict[str, str]]:
    """Places for `count` processes, or fewer if there are fewer runs: what each adds to the environment.

    `training` are the options of each run. By default as many as there are GPUs or, where none is used, cores. With
    more processes than GPUs, the GPUs are shared out in turn.
    """
    if any(choose_training_device(options) == "cuda" for options in training):
        gpus = visible_gpus()
        count = min(count or len(gpus), len(training))
        return [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} for i in range(count)]
    return [{}] * min(count or available_cores(), len(training))


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    count = library_of("cuda").cuda.runtime.getDeviceCount()
    return named[:count] if any(named) else [str(index) for index in range(count)]


class Journal:
    """`journal.json` of a comparison: the command, the machine, and how long each run took as a process."""

    def __init__(self, directory: Path, command: str, jobs: int, machine: dict[str, Any]):
        self.path = directory / JOURNAL_FILE
        earlier = read_journal(directory)
        self.values = {"command": command, "jobs": jobs, **machine, "runs": earlier.get("runs", {})}

    def add(self, name: str, seconds: float) -> None:
        """Note another sitting at a run, from the start of its process to the end."""
        before = self.values["runs"].get(name, {"sittings": 0, "whole_seconds": 0.0})
        seconds = round(before["whole_seconds"] + seconds, 3)
        self.values["runs"][name] = {"sittings": before["sittings"] + 1, "whole_seconds": seconds}
        write_json(self.path, self.values)


def read_journal(directory: Path) -> dict[str, Any]:
    """The journal of a comparison; empty if it has none. Raises UserError if it cannot be read."""
    path = directory / JOURNAL_FILE
    if not path.is_file():
        return {}
    values = read_json(path)
    runs = values.get("runs", {}) if isinstance(values, dict) else None
    if not isinstance(runs, dict) or not all(is_noted(run) for run in runs.values()):
        raise UserError(f"{path}: not a journal of a comparison")
    return values


def is_noted(run: Any) -> bool:
    """Whether this is what a journal notes of a run."""
    return isinstance(run, dict) and is_whole(run.get("sittings")) and is_number(run.get("whole_seconds"))


class JobsReporter:
    """Is told how the training of several runs goes. This one does nothing; override what you want to be told.

    output_error: why its output cannot be written any more, upon which all runs are stopped; None while it can.
    """

    output_error: OSError | None = None

    def started(self, jobs: Sequence[Job], finished: int) -> None:
        """The comparison begins; so many of its runs were finished before."""

    def begun(self, job: Job) -> None:
        """A process was started."""

    def stepped(self, job: Job, row: dict[str, Any]) -> None:
        """A run has come further; `row` is what the newest lines of its `metrics.jsonl` say."""

    def ended(self, job: Job, failure: str | None, stopped: bool) -> None:
        """A run is trained and tested or, with its last error line as `failure`, is not; it saved if it was stopped."""

    def closed(self) -> None:
        """Nothing runs any more."""


@dataclass(frozen=True)
class Outcome:
    """How the training of all jobs ended."""

    failures: dict[str, str]  # name of a run: the last error line of its process
    signal: int | None = None  # that stopped everything
    output_error: OSError | None = None  # why the reporter cannot write any more, which stopped everything too


class RunningJob:
    """A process that trains, and what it has written so far."""

    def __init__(self, job: Job, slot: dict[str, str], one_core: bool):
        self.job, self.slot = job, slot
        self.metrics = MetricsFollower(job.directory / METRICS)
        words = job.command()
        if one_core and "--resume" not in words:
            words += one_core_flags(job.config.training)
        command, environment = python_module("tinygrad_arith.train", *words)
        self.log = job.directory.with_name(job.name + ".log")
        self.log_start = self.log.stat().st_size if self.log.is_file() else 0
        self.began = time.monotonic()
        with open(self.log, "ab") as log:
            # In a session of its own, so that Ctrl-C on the terminal reaches it once, through `stop`: a second signal
            # would end it without saving.
            self.process = Popen(
                command, stdin=DEVNULL, stdout=log, stderr=STDOUT, env=environment | slot, **stopped_by_us_alone()
            )

    def stop(self) -> None:
        """Ask it to save and stop."""
        ask_to_stop(self.process)

    def kill(self) -> None:
        """End it at once; its worker processes end by themselves."""
        self.process.kill()
        self.process.wait()

    def failure(self) -> str | None:
        """Why it failed: its last error line; None if it did not."""
        if self.process.returncode == 0 and is_finished(self.job.directory):
            return None
        with open(self.log, "rb") as log:
            log.seek(self.log_start)
            lines = [line.strip() for line in log.read().decode("utf-8", errors="replace").splitlines()]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        last = [line for line in lines if line][-1:]  # of a traceback: the exception
        return (errors or last or [f"exit code {self.process.returncode}"])[-1]


class MetricsFollower:
    """Reads what is appended to a `metrics.jsonl`, for the progress."""

    def __init__(self, path: Path):
        self.path, self.offset = path, 0

    def newest(self) -> dict[str, Any] | None:
        """What the newest rows since the last call say (a later row's fields over an earlier one's), or None."""
        try:
            text = self.unread()
        except OSError:  # there is none yet; or it is just being replaced, or its server is away: progress can wait
            return None
        whole = text[: text.rfind(b"\n") + 1]
        self.offset += len(whole)
        found: dict[str, Any] = {}
        for line in whole.splitlines():
            try:
                found |= parse_json(line)
            except (ValueError, TypeError):  # the middle of a line, after a trim: progress can do without it
                continue
        return found or None

    def unread(self) -> bytes:
        """What was appended since the last call, and the torn line before it."""
        with open(self.path, "rb") as file:
            if os.fstat(file.fileno()).st_size < self.offset:  # a resumed run has trimmed it
                self.offset = 0
            file.seek(self.offset)
            return file.read()


class SideBySide:
    """Trains jobs that are not finished yet, one in each slot at a time, until all are done, a signal comes, or the
    reporter cannot write any more."""

    def __init__(self, jobs: Sequence[Job], slots: Sequence[dict[str, str]], reporter: JobsReporter, journal: Journal):
        self.reporter, self.journal = reporter, journal
        self.one_core = len(slots) > 1 and not any(slots)  # several processes share the CPU
        self.waiting = deque(job for job in jobs if not is_finished(job.directory))
        self.free = list(slots)
        self.running: list[RunningJob] = []
        self.failures: dict[str, str] = {}
        self.stopping = False
        reporter.started(jobs, len(jobs) - len(self.waiting))

    def run(self) -> Outcome:
        """Train; a Ctrl-C after another signal ends the processes at once and raises KeyboardInterrupt."""
        try:
            with StopSignals() as signals:
                while self.waiting or self.running:
                    if (signals.received or self.reporter.output_error) and not self.stopping:
                        self.stop()
                    self.fill_slots()
                    time.sleep(LOOK_EVERY)
                    self.look()
                return Outcome(self.failures, signals.received, self.reporter.output_error if self.stopping else None)
        finally:
            for one in self.running:
                one.kill()
            self.reporter.closed()

    def fill_slots(self) -> None:
        """Start as many of the waiting jobs as there are free slots."""
        while self.waiting and self.free:
            self.running.append(RunningJob(self.waiting.popleft(), self.free.pop(0), self.one_core))
            self.reporter.begun(self.running[-1].job)

    def stop(self) -> None:
        """Start nothing more, and ask what runs to save and stop."""
        self.stopping = True
        self.waiting.clear()
        for one in self.running:
            one.stop()

    def look(self) -> None:
        """Tell how far the processes have come, and deal with those that ended."""
        for one in list(self.running):
            over = one.process.poll() is not None  # asked first, so that what it wrote last is read
            row = one.metrics.newest()
            if row is not None:
                self.reporter.stepped(one.job, row)
            if over:
                self.end(one)

    def end(self, one: RunningJob) -> None:
        """Note how a process ended, and free its slot."""
        self.running.remove(one)
        self.free.append(one.slot)
        self.journal.add(one.job.name, time.monotonic() - one.began)
        failure = one.failure()
        if failure is not None and not self.stopping:
            self.failures[one.job.name] = failure
        self.reporter.ended(one.job, failure, self.stopping)
