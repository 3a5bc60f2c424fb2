"""The tables of docs/experiments.md: what every preset reaches beside what its source published."""

import re
import shlex
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from markdown_table import table

from tinygrad_arith.cli.comparison_report import as_loss, as_share, as_steps, in_words
from tinygrad_arith.cli.console import as_duration
from tinygrad_arith.comparisons.finished_runs import THRESHOLDS, Spread
from tinygrad_arith.training.presets import load_preset

GROUPS = {  # the presets of each section
    "ours": ("binary-reversed", "binary-plain", "binary-reversed-12bit"),
    "candle": ("candle-binary-reversed", "candle-binary-plain"),
    "julia": ("julia-gpt", "julia-gpt-first-code", "julia-dnn", "julia-split-plain", "julia-split-reversed"),
    "expressions": ("julia-expressions",),
    "lee": ("lee-plain-3digit", "lee-reversed-3digit"),
    "positions": ("coupled-10digit", "absolute-10digit", "lengths-coupled", "lengths-abacus"),
    "subtraction": ("subtraction-12bit", "subtraction-12bit-sign-first"),
    "grokking": ("grokking-mod113",),
}
HEADER = ("preset", "published", "exact match", "99 % after", "99.9 % after", "loss", "training")
LEE_PUBLISHED = {  # sums: plain, reversed, per cent; Lee et al. 2023, arXiv 2307.03381, table 1, NanoGPT
    1000: (0.4, 1.6),
    3000: (28.7, 79.1),
    5000: (81.1, 99.8),
    10_000: (87.4, 100.0),
}

Entry = tuple[str, tuple[str, ...], dict[str, Any] | None]  # preset, changed flags, experiment or None


def filled(text: str, entries: Sequence[Entry]) -> str:
    """A page with its tables made anew, between `<!-- table: NAME -->` and `<!-- end -->`; others are readme.py's."""

    def fill(match: re.Match) -> str:
        if match[1] not in (*GROUPS, "commands"):
            return match[0]
        return f"<!-- table: {match[1]} -->\n\n{table_named(match[1], entries)}\n\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


def table_named(name: str, entries: Sequence[Entry]) -> str:
    """That of a group of presets, of all commands, or of Lee et al."""
    if name == "commands":
        return commands(entries)
    mine = [entry for preset in GROUPS[name] for entry in entries if entry[0] == preset]
    return sample_efficiency(mine) if name == "lee" else figures(mine)


def figures(entries: Sequence[Entry]) -> str:
    """What was published of each preset, and ours."""
    rows = []
    for name, changes, values in entries:
        published = "" if changes else load_preset(name).published or "–"
        cells = ours(values["runs"]) if values else ["not yet run", *[""] * (len(HEADER) - 3)]
        rows.append([name_of(name, changes), published, *cells])
    return table(HEADER, rows, numbers=False)


def name_of(preset: str, changes: Sequence[str]) -> str:
    """The preset, with the flags that were changed."""
    return " ".join(f"`{word}`" for word in (preset, *changes))


def ours(runs: Sequence[dict[str, Any]]) -> list[str]:
    """The cells of one experiment: medians over its seeds, with the range in parentheses."""
    exact_match = over([run["test_exact_match"] for run in runs], as_share)
    seeds = f"{len(runs)} seed{'s' if len(runs) > 1 else ''}"
    cells = [f"{exact_match} of {runs[0]['test_count']:,}; {seeds}{further(runs)}"]
    cells += [reached(runs, str(threshold)) for threshold in THRESHOLDS]
    loss = over([run["mean_of_last_losses"] for run in runs], as_loss)
    steps = over([run["step"] for run in runs], as_steps)
    return [*cells, loss, f"{steps} steps; " + over([run["seconds"] for run in runs], as_duration)]


def reached(runs: Sequence[dict[str, Any]], threshold: str) -> str:
    """When so many validation problems were first right; over those that got there, if some did not."""
    there = [run for run in runs if run["steps_to"][threshold] is not None]
    if not there:
        return "never"
    steps = over([run["steps_to"][threshold] for run in there], as_steps)
    seconds = over([run["seconds_to"][threshold] for run in there], as_duration)
    some = "" if len(there) == len(runs) else f"; {len(there)} of {len(runs)} seeds"
    return f"{steps} steps; {seconds}{some}"


def over(values: Sequence[float], written: Callable[[float], str]) -> str:
    """The median and range of a value over runs."""
    return in_words(Spread.of(values), written)


def further(runs: Sequence[dict[str, Any]]) -> str:
    """Other measures that all runs have, such as the one of an article, and the best evaluation where it was lost."""
    names = [name for name in runs[0]["further"] if all(name in run["further"] for run in runs)]
    told = [f"; {name.replace('_', ' ')} {over([run['further'][name] for run in runs], as_share)}" for name in names]
    best = [run.get("best_exact_match", 0.0) for run in runs]
    if statistics.median(best) > 0.02 + statistics.median([run["test_exact_match"] for run in runs]):
        told.append(f"; best evaluation on the way {over(best, as_share)}")
    return "".join(told)


def sample_efficiency(entries: Sequence[Entry]) -> str:
    """Exact match by the number of training sums, beside that of Lee et al."""
    found: dict[tuple[str, int], str] = {}
    for name, _, values in entries:
        if values:
            cells = over([run["test_exact_match"] for run in values["runs"]], as_share)
            found[name, values["config"]["task"]["train_size"]] = cells
    rows = [
        [
            f"{size:,}",
            *(c for n, p in zip(GROUPS["lee"], published, strict=True) for c in (f"{p} %", found.get((n, size), "–"))),
        ]
        for size, published in LEE_PUBLISHED.items()
    ]
    return table(
        ("sums", "plain, published", "plain, ours", "reversed, published", "reversed, ours"), rows, numbers=False
    )


def commands(entries: Sequence[Entry]) -> str:
    """Each experiment's source, command, machine and date."""
    rows = []
    for group in GROUPS.values():
        for name, changes, values in [entry for preset in group for entry in entries if entry[0] == preset]:
            made = ["", "not yet run", ""]
            if values:
                jobs = f", {values['jobs']} runs at a time" if values["jobs"] > 1 else ""
                seeds = ", ".join(str(run["seed"]) for run in values["runs"])
                made = [seeds, values["machine"] + jobs, values["date"]]
            rows.append([f"`{command(name, changes, values)}`", load_preset(name).source, *made])
    return table(("command", "source", "seeds", "machine", "date"), rows, numbers=False)


def command(name: str, changes: Sequence[str], values: dict[str, Any] | None) -> str:
    """How to train them again, with the presets as they are today."""
    seeds = len(values["runs"]) if values else 5
    return shlex.join(["python", "-m", "tinygrad_arith.compare", "--preset", name, *changes, "--seeds", str(seeds)])
