"""What every preset reaches beside what its source published: docs/experiments.md, from dated JSON in results/.

    python -m tinygrad_arith.compare --preset julia-gpt --seeds 5 --out runs/julia     # trains
    python benchmarks/experiments.py --gather runs/julia [--machine "one NVIDIA H100, 80 GB"]
    python benchmarks/experiments.py --write
    python benchmarks/experiments.py --check

--gather turns the finished runs in a directory into results/experiment_PRESET_DATE.json, a file for each preset or, if
options were changed, for each variant of it. --write makes the tables of the page anew (`experiments_page.py`); what
stands outside them is written by hand. With --check nothing is written; the exit code is 1 if the page does not say
what the files say.
"""

import argparse
import dataclasses
import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments_page import Entry, filled

from tinygrad_arith.cli.console import fail
from tinygrad_arith.comparisons.finished_runs import (
    OPTIONS_APART_FROM_GROUP,
    Group,
    group_runs,
    is_finished,
    option_values,
    read_finished,
    run_directories,
)
from tinygrad_arith.comparisons.jobs import flag_of, read_journal
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.options.kinds import field_names
from tinygrad_arith.options.option import Options
from tinygrad_arith.tasks import resolve
from tinygrad_arith.training.config import SECTIONS, Config, changed
from tinygrad_arith.training.presets import load_preset, preset_names
from tinygrad_arith.training.upgrade import upgraded

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "experiments.md"
RESULTS = ROOT / "benchmarks" / "results"
MACHINE_FACTS = ("date", "cpu", "cores", "gpus", "versions")  # of a comparison's journal
FORMAT = 1


def gather(directory: Path, machine: str | None) -> list[dict[str, Any]]:
    """The finished runs in a directory as values for JSON, one object for each group that differs in the seed only.

    `machine` says in words what trained them; by default it is read from the comparison's journal. Raises UserError
    where nothing is finished, or where it is not known what machine it was.
    """
    finished = [path for path in run_directories([directory]) if is_finished(path)]
    if not finished:
        raise UserError(f"{directory}: no run in it is finished")
    journal = read_journal(directory)
    if not journal and machine is None:
        raise UserError(f"{directory}: not made by compare, so that its machine is not known; name it with --machine")
    groups = group_runs(read_finished(path) for path in finished)
    return [experiment_values(group, journal, machine) for group in groups]


def experiment_values(group: Group, journal: dict[str, Any], machine: str | None) -> dict[str, Any]:
    """One group of runs as values for JSON."""
    facts = {name: journal[name] for name in MACHINE_FACTS} if journal else written_down(group)
    whole = {name: entry["whole_seconds"] for name, entry in journal.get("runs", {}).items() if entry["sittings"] == 1}
    record = group.runs[0].record
    values = {
        "benchmark": "experiment",
        "format": FORMAT,
        "preset": record.preset,
        "config": record.config.to_dict(),
        "until": record.until,
        **facts,
        "machine": machine or machine_in_words(facts),
        "jobs": journal.get("jobs", 1),
        "runs": [run.values() | {"whole_seconds": whole.get(run.directory.name)} for run in group.runs],
    }
    return values | {"command": journal.get("command") or train_command(values, group)}


def written_down(group: Group) -> dict[str, Any]:
    """The date and versions in the `config.json` of runs that were trained one by one; nothing else is known there."""
    created = json.loads((group.runs[0].directory / "config.json").read_text(encoding="utf-8"))
    return {"date": created["created"][:10], "versions": created["versions"]}


def machine_in_words(facts: dict[str, Any]) -> str:
    """The GPUs, each kind with its number, or else the processor and its cores."""
    gpus = facts["gpus"]
    if not gpus:
        return f"{facts['cpu']}, {facts['cores']} cores"
    counts = {name: gpus.count(name) for name in gpus}
    return ", ".join(name if count == 1 else f"{count} {name}" for name, count in counts.items())


def settled(config: Config) -> Config:
    """The configuration with the sizes that were left to be chosen, whether its sections fit together or not yet."""
    task = resolve(config.task)
    training = dataclasses.replace(config.training, eval_size=config.training.eval_size or task.validation_size)
    return dataclasses.replace(config, task=task, training=training)


def ordered_fields(options: Options) -> list[dataclasses.Field]:
    """The fields of options in the order of their flags."""
    fields = {field.name: field for field in dataclasses.fields(options)}
    return [fields[name] for name in field_names(options)]


def changes_from_preset(values: dict[str, Any]) -> list[str]:
    """The flags that turn the preset, as it is today, into the configuration of an experiment.

    A size that follows from an option before it, as that of the test from the number of digits, is not among them.
    """
    config = load_preset(values["preset"]).config
    own = option_values(Config.from_dict(upgraded(values["config"]), source=f"experiment of {values['preset']}"))
    flags = []
    for section, field in [(s, f) for s in SECTIONS for f in ordered_fields(getattr(config, s))]:
        name = field.metadata["flag"] or field.name
        if name not in OPTIONS_APART_FROM_GROUP and option_values(settled(config))[name] != own[name]:
            config = changed(config, {section: {field.name: own[name]}})
            flags.append(flag_of(name, own[name]))
    return flags + ([] if values["until"] is None else [flag_of("until", values["until"])])


def train_command(values: dict[str, Any], group: Group) -> str:
    """How the runs of a group can be trained one by one."""
    seeds = ",".join(str(run.seed) for run in group.runs)
    flags = ["--preset", values["preset"], *changes_from_preset(values)]
    return shlex.join(["python", "-m", "tinygrad_arith.train", *flags]) + f" --seed {{{seeds}}}"


def result_path(values: dict[str, Any]) -> Path:
    """Where an experiment is kept: the changed options are part of its name."""
    words = re.sub(r"[^A-Za-z0-9.]+", "-", " ".join(changes_from_preset(values))).strip("-")
    return RESULTS / f"experiment_{values['preset']}{'_' + words if words else ''}_{values['date']}.json"


def newest_experiments() -> dict[tuple[str, tuple[str, ...]], dict[str, Any]]:
    """The newest experiment of each (preset, changed flags)."""
    found = {}
    for path in sorted(RESULTS.glob("experiment_*.json"), key=lambda path: (path.stem[-10:], path.name)):
        values = json.loads(path.read_text(encoding="utf-8"))
        found[values["preset"], tuple(changes_from_preset(values))] = values
    return found


def entries() -> list[Entry]:
    """All presets, each before its variants."""
    experiments = newest_experiments()
    found: list[Entry] = []
    for name in preset_names():
        own: dict[tuple[str, ...], dict[str, Any] | None]
        own = {changes: values for (preset, changes), values in experiments.items() if preset == name}
        own.setdefault((), None)
        found += [(name, changes, own[changes]) for changes in sorted(own, key=in_number_order)]
    return found


def in_number_order(changes: Sequence[str]) -> list[list[tuple[float, str]]]:
    """A key that sorts `--train-size=3000` before `--train-size=10000`."""
    return [[(float(w), "") if w.isdecimal() else (-1.0, w) for w in re.split(r"(\d+)", flag)] for flag in changes]


def main(argv: Sequence[str] | None = None) -> int:
    """Gathers, writes or checks; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--gather", type=Path, metavar="RUNS_DIR", help="a comparison's directory, or a run's")
    what.add_argument("--write", action="store_true", help="make the tables of docs/experiments.md anew")
    what.add_argument("--check", action="store_true", help="fail if the page does not say what the results say")
    parser.add_argument("--machine", help="what trained the runs, in words (default: as compare noted it)")
    args = parser.parse_args(argv)
    if args.gather:
        try:
            gathered = gather(args.gather, args.machine)
        except UserError as error:
            return fail(str(error))
        for values in gathered:
            result_path(values).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
            print(f"{len(values['runs'])} runs in {result_path(values)}")
        return 0
    text = PAGE.read_text(encoding="utf-8")
    if args.check:
        differs = f"{PAGE.name} differs; run: python benchmarks/experiments.py --write"
        return 0 if filled(text, entries()) == text else fail(differs)
    PAGE.write_text(filled(text, entries()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
