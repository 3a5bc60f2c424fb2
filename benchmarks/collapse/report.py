"""What the records of `train` say: how often accuracy collapses, with what changed, and how one looks."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from environment import RESULTS, environment
from markdown_table import table

from collapse.terms import COLLAPSED, EVALUATE_EVERY, REACHED, RECORD_EVERY, VARIANTS
from tinygrad_arith.plots.figure import BLUE, GREEN, GREY, LINES, ORANGE, blank_figure, clean_axes, save_figure

IMAGES = RESULTS.parents[1] / "docs" / "images"
GRADIENT, UPDATE, WEIGHTS, SECOND_MOMENT = range(4)  # of a record's table
GROUPS = {  # of parameters: a part of their names
    "embedding": "token_embedding",
    "attention, in": "attention.qkv",
    "attention, out": "attention.output",
    "feed-forward, in": "ffn.up",
    "feed-forward, out": "ffn.down",
    "norms": "_norm",
    "head": "head",
}
AROUND = 400  # steps that are shown before and after the start of a collapse


@dataclass(frozen=True)
class Run:
    """The record of one run.

    losses, norms: (steps,); exact_match: (evaluations,); table: (records, 4, parameters)
    sharpness: (evaluations,), over the edge of stability; (0,) if it was not measured
    config:    empty in records of before 2026-11-22, 13:00
    """

    variant: str
    seed: int
    steps: int
    seconds: float
    parameters: list[str]
    losses: np.ndarray
    norms: np.ndarray
    exact_match: np.ndarray
    table: np.ndarray
    sharpness: np.ndarray
    config: dict[str, Any]

    @property
    def learned_at(self) -> int | None:
        """The step of the first evaluation that reached 0.99."""
        reached = np.flatnonzero(self.exact_match >= REACHED)
        return None if not reached.size else int(reached[0] + 1) * EVALUATE_EVERY

    def collapses(self) -> list[tuple[int, int, float]]:
        """(step at which it is first seen, steps until 0.99 is reached again, lowest exact match) of each collapse."""
        found, start, lowest, learned = [], None, 1.0, False
        for index, share in enumerate(self.exact_match, start=1):
            if start is not None:
                lowest = min(lowest, share)
            if share >= REACHED:
                if start is not None:
                    found.append((start, index * EVALUATE_EVERY - start, lowest))
                learned, start = True, None
            elif learned and start is None and share < COLLAPSED:
                start, lowest = index * EVALUATE_EVERY, share
        if start is not None:
            found.append((start, self.steps - start, lowest))
        return found

    def group(self, name: str) -> np.ndarray:
        """(records, 4): norms over all parameters of a group; of the second moment, the largest root mean square."""
        inside = [GROUPS[name] in parameter for parameter in self.parameters]
        part = self.table[:, :, inside].astype(np.float64)  # (R, 4, P)
        out = np.sqrt((part**2).sum(axis=-1))
        out[:, SECOND_MOMENT] = part[:, SECOND_MOMENT].max(axis=-1)
        return out


def load(directory: Path) -> list[Run]:
    """All records of a directory."""
    runs = []
    for path in sorted(directory.glob("*.npz")):
        with np.load(path) as file:
            about = json.loads(str(file["about"]))
            arrays = {name: file[name] for name in ("losses", "norms", "exact_match", "table")}
            arrays["sharpness"] = file["sharpness"] if "sharpness" in file else np.zeros(0)
            config = json.loads(str(file["config"])) if "config" in file else {}
            names = [str(name) for name in file["parameters"]]
            runs.append(Run(**about, parameters=names, config=config, **arrays))
    if not runs:
        raise SystemExit(f"{directory}: there are no records")
    return runs


def by_variant(runs: list[Run]) -> Iterator[tuple[str, list[Run]]]:
    """The runs of each variant, in the order of VARIANTS."""
    for name in VARIANTS:
        mine = [run for run in runs if run.variant == name]
        if mine:
            yield name, mine


def summary(variant: str, runs: list[Run]) -> dict[str, Any]:
    """The figures of a variant, over its seeds."""
    collapses = [run.collapses() for run in runs]
    learned = [run.learned_at for run in runs]
    after = sum(run.steps - at for run, at in zip(runs, learned, strict=True) if at)
    depths = [lowest for of_run in collapses for _, _, lowest in of_run]
    since = [run.exact_match[at // EVALUATE_EVERY :] for run, at in zip(runs, learned, strict=True) if at]
    return {
        "variant": variant,
        "seeds": [run.seed for run in runs],
        "steps": runs[0].steps,
        "learned_at": learned,
        "runs_that_collapsed": sum(map(bool, collapses)),
        "collapses": [[list(one) for one in of_run] for of_run in collapses],
        "collapses_per_10000_steps_once_learned": round(1e4 * sum(map(len, collapses)) / after, 2) if after else None,
        "median_lowest": statistics.median(depths) if depths else None,
        "share_below_0.9_once_learned": float((np.concatenate(since) < COLLAPSED).mean()) if since else None,
        "lowest_of_the_last_tenth": [float(run.exact_match[-len(run.exact_match) // 10 :].min()) for run in runs],
        "final_exact_match": [float(run.exact_match[-1]) for run in runs],
        "final_loss": [round(float(run.losses[-100:].mean()), 4) for run in runs],
        "seconds": [run.seconds for run in runs],
    }


def name_in_table(variant: str) -> str:
    """What is changed, in words."""
    return "nothing" if variant == "verbatim" else variant


def variants_table(summaries: list[dict[str, Any]]) -> str:
    """The figures as a Markdown table."""
    header = (
        "changed",
        "99 % at step",
        "collapses, per 10,000 steps",
        "lowest of a collapse",
        "steps below 90 %",
        "lowest in the last tenth of a run",
    )
    rows = []
    for entry in summaries:
        learned = [at for at in entry["learned_at"] if at]
        rate, lowest, share = (
            entry[name]
            for name in ("collapses_per_10000_steps_once_learned", "median_lowest", "share_below_0.9_once_learned")
        )
        ends = sorted(entry["lowest_of_the_last_tenth"])
        cells = (
            name_in_table(entry["variant"]),
            f"{statistics.median(learned):,.0f}" if learned else "never",
            "-" if rate is None else f"{rate:.1f}",
            "-" if lowest is None else f"{lowest:.2f}",
            "-" if share is None else f"{share:.0%}",
            " ".join(f"{value:.2f}" for value in ends),
        )
        rows.append(cells)
    return table(header, rows)


def edge_summary(run: Run) -> dict[str, Any]:
    """How far from the edge of stability a run was from when it had learned on; null where it never had."""
    learned = run.learned_at
    if not len(run.sharpness):
        raise SystemExit(f"{run.variant}, seed {run.seed}: recorded without --sharpness")
    since = run.sharpness[learned // EVALUATE_EVERY - 1 :] if learned else run.sharpness[:0]
    before = [at // EVALUATE_EVERY - 2 for at, _, _ in run.collapses()]  # the last evaluation that saw nothing
    return {
        "variant": run.variant,
        "seed": run.seed,
        "median": median(since),
        "share_above_1": float((since > 1).mean()) if learned else None,
        "median_before_a_collapse": median(run.sharpness[before]),
    }


def median(values: np.ndarray) -> float | None:
    """The median, or None of no values."""
    return float(np.median(values)) if len(values) else None


def edge_curves(runs: list[Run]) -> Any:
    """The sharpness over the edge of stability, a panel a run, with the accuracy above it."""
    figure = blank_figure(8.4, 1.9 * len(runs) + 0.5)
    panels = figure.subplots(len(runs), 1, sharex=True, squeeze=False).ravel()
    for axes, run in zip(panels, runs, strict=True):
        at = EVALUATE_EVERY * np.arange(1, len(run.exact_match) + 1)
        axes.axhline(1, color=GREY, linewidth=0.8)
        axes.plot(at, np.where(run.sharpness > 0, run.sharpness, np.nan), color=BLUE, linewidth=0.9)
        axes.set_yscale("log")
        share = axes.twinx()
        share.plot(at, run.exact_match, color=GREEN, linewidth=0.7, alpha=0.7)
        share.set_ylim(0, 1.05)
        share.spines[["top"]].set_visible(False)
        share.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        clean_axes(axes)
        axes.set_title(f"changed: {name_in_table(run.variant)}; seed {run.seed}", fontsize=9, loc="left")
    panels[-1].set_xlabel("training step")
    figure.suptitle("sharpness over the edge of stability (blue, log scale) and exact match (green)", fontsize=10)
    return figure


def curves(runs: list[Run]) -> Any:
    """Exact match over the steps, a panel a variant, a line a seed."""
    variants = list(by_variant(runs))
    columns = min(3, len(variants))
    rows = -(-len(variants) // columns)
    figure = blank_figure(3.2 * columns, 1.9 * rows + 0.3)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (variant, of_variant) in zip(panels, variants, strict=False):
        for run in of_variant:
            at = EVALUATE_EVERY * np.arange(1, len(run.exact_match) + 1)
            axes.plot(at, run.exact_match, color=BLUE, linewidth=0.8, alpha=0.6)
            for start, _, lowest in run.collapses():
                axes.plot(start, lowest, marker="v", color=ORANGE, markersize=4, clip_on=False)
        clean_axes(axes)
        axes.set_title(name_in_table(variant), fontsize=10, loc="left")
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    for axes in panels[len(variants) :]:
        axes.set_visible(False)
    for axes in panels[: len(variants)][-columns:]:  # the lowest that is shown in each column
        axes.set_xlabel("training step")
        axes.tick_params(labelbottom=True)
    figure.suptitle("exact match on 500 validation problems; a triangle: a collapse, at its lowest", fontsize=10)
    return figure


def deepest(runs: list[Run]) -> tuple[Run, int] | None:
    """The verbatim run with the deepest collapse, and the step at which that was first seen."""
    found = [(lowest, start, run) for run in runs if run.variant == "verbatim" for start, _, lowest in run.collapses()]
    if not found:
        return None
    _, start, run = min(found, key=lambda one: one[:2])
    return run, start


def anatomy(run: Run, start: int) -> Any:
    """Loss, accuracy, gradient, update and second moment in the steps around the start of a collapse."""
    figure = blank_figure(8.4, 8.0)
    top, gradient, ratio, moment = figure.subplots(4, 1, sharex=True)
    first, last = max(1, start - AROUND), min(run.steps, start + AROUND)
    steps = np.arange(first, last + 1)
    top.plot(steps, run.losses[first - 1 : last], color=BLUE, linewidth=0.9, label="loss, nats a token")
    top.set_title("loss of each step (blue, log scale) and exact match (green)", fontsize=9, loc="left")
    top.set_yscale("log")
    share = top.twinx()
    at = EVALUATE_EVERY * np.arange(1, len(run.exact_match) + 1)
    share.plot(at, run.exact_match, color=GREEN, marker="o", markersize=3)
    share.set_ylim(0, 1.05)
    share.spines[["top"]].set_visible(False)
    gradient.plot(steps, run.norms[first - 1 : last], color=GREY, linewidth=0.9)
    gradient.set_title("norm of the whole gradient", fontsize=9, loc="left")
    gradient.set_yscale("log")
    recorded = RECORD_EVERY * np.arange(1, len(run.table) + 1)
    inside = (recorded >= first) & (recorded <= last)
    for index, name in enumerate(GROUPS):
        of_group, color = run.group(name)[inside], LINES[index]
        ratio.plot(recorded[inside], of_group[:, UPDATE] / of_group[:, WEIGHTS], color=color, linewidth=1.0, label=name)
        moment.plot(recorded[inside], of_group[:, SECOND_MOMENT], color=color, linewidth=1.0)
    ratio.set_title("norm of the update over that of the weights", fontsize=9, loc="left")
    moment.set_title("root of the mean second moment (largest of the group)", fontsize=9, loc="left")
    for axes in (ratio, moment):
        axes.set_yscale("log")
    for axes in (top, gradient, ratio, moment):
        clean_axes(axes)
    low, high = ratio.get_ylim()
    ratio.set_ylim(low, 30 * high)  # room for the legend
    ratio.legend(fontsize=7, ncols=4, frameon=False, loc="upper left")
    moment.set_xlabel(f"training step (seed {run.seed})")
    moment.set_xlim(first, last)
    return figure


def before_and_after(runs: list[Run]) -> dict[str, float]:
    """Over all verbatim collapses, medians of ratios: what changes in the 100 steps in which one begins.

    loss, gradient: the largest of those steps over the median of the 200 before.
    second_moment: the median of the 200 steps before over that when 0.99 was first reached.
    """
    found: dict[str, list[float]] = {"loss": [], "gradient": [], "second_moment": []}
    for run in runs:
        if run.variant != "verbatim" or run.learned_at is None:
            continue
        moments = run.table[:, SECOND_MOMENT].mean(axis=-1)
        for start, _, _ in run.collapses():
            calm, here = slice(max(0, start - 300), start - 100), slice(start - 100, start)
            for name, values in (("loss", run.losses), ("gradient", run.norms)):
                found[name].append(float(values[here].max() / np.median(values[calm])))
            calm_records = slice(max(0, start - 300) // RECORD_EVERY, (start - 100) // RECORD_EVERY)
            learned = moments[run.learned_at // RECORD_EVERY - 1]
            found["second_moment"].append(float(np.median(moments[calm_records]) / learned))
    return {name: round(statistics.median(values), 3) for name, values in found.items() if values}


def edge_table(summaries: list[dict[str, Any]]) -> str:
    """The sharpness of some runs as a Markdown table."""
    header = ("changed", "seed", "median once learned", "above the edge", "median before a collapse")
    rows = [
        (
            name_in_table(entry["variant"]),
            f"{entry['seed']}",
            f"{entry['median']:.2f}",
            f"{entry['share_above_1']:.0%}",
            f"{entry['median_before_a_collapse']:.2f}",
        )
        for entry in summaries
        if entry["median_before_a_collapse"] is not None
    ]
    return table(header, rows)


def report(directory: Path, edge: Path | None, machine: str, write: bool) -> None:
    """Prints the tables; writes JSON and pictures if asked to. `edge` holds the records with the sharpness."""
    runs = load(directory)
    summaries = [summary(variant, of_variant) for variant, of_variant in by_variant(runs)]
    print(variants_table(summaries))
    changes = before_and_after(runs)
    print(changes)
    at_the_edge = [run for _, of_variant in by_variant(load(edge)) for run in of_variant] if edge else []
    edges = [edge_summary(run) for run in at_the_edge]
    print(edge_table(edges))
    if not write:
        return
    measured = environment(["tinygrad_arith", "numpy"])
    if machine:
        measured |= {"cpu": None, "cores": None, "machine": machine}
    values = {"benchmark": "collapse", **measured, "before_a_collapse": changes}
    verbatim = next((run.config for run in runs + at_the_edge if run.variant == "verbatim" and run.config), {})
    values |= {"config": verbatim, "edge_of_stability": edges, "variants": summaries}
    path = RESULTS / f"collapse_{measured['date']}.json"
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    save_figure(curves(runs), IMAGES / "collapse_variants.png")
    worst = deepest(runs)
    if worst is not None:
        save_figure(anatomy(*worst), IMAGES / "collapse_anatomy.png")
    if at_the_edge:
        save_figure(edge_curves(at_the_edge), IMAGES / "collapse_edge.png")
    print(f"written to {path.name} and docs/images/")
