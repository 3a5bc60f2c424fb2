"""What the replays of `replay.py` say: their JSON, a table and a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from environment import RESULTS, environment
from markdown_table import table

from collapse.report import IMAGES
from collapse.terms import COLLAPSED, LOOKED_AT
from tinygrad_arith.plots.figure import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    blank_figure,
    clean_axes,
    legend_below,
    save_figure,
    share_axis,
)
from tinygrad_arith.plots.series import line_look

WAYS = {  # to go on from before a collapse: how they are called here and in the table
    "same": "as it was",
    "others": "other batches",
    "second_moment": "second moment of when 99 % was reached",
    "half_rate": "half the rate",
}
DIGITS = 4  # of a number that is kept


def gather(directory: Path) -> dict[str, Any]:
    """The files of all seeds in a directory as values for JSON."""
    files = sorted(directory.glob("seed*.json"))
    if not files:
        raise SystemExit(f"{directory}: there are no replays")
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    if not any(run["collapses"] for run in runs) or not any(run["controls"] for run in runs):
        raise SystemExit(f"{directory}: there are no collapses, or no calms to compare them with")
    return {
        "looked_at": LOOKED_AT,
        "config": runs[0]["config"],
        "runs": [
            {"seed": run["config"]["training"]["seed"]} | {name: run[name] for name in ("steps", "seconds", "skipped")}
            for run in runs
        ],
        "controls": [control for run in runs for control in run["controls"]],
        "collapses": [
            {"seed": run["config"]["training"]["seed"]} | collapse | {"looks": by_quantity(collapse["looks"])}
            for run in runs
            for collapse in run["collapses"]
        ],
    }


def by_quantity(looks: list[dict[str, float]]) -> dict[str, list[float]]:
    """A list of records as lists by name, in few digits."""
    return {name: [float(f"{look[name]:.{DIGITS}g}") for look in looks] for name in looks[0]}


def lost(values: dict[str, Any], way: str, lead: int) -> tuple[int, int]:
    """(how many, of how many) replays in one way from so many steps before the onset collapsed."""
    rows = [row for collapse in values["collapses"] for row in collapse["replays"] if row["lead"] == lead]
    lowest = np.ravel([row[way] for row in rows])
    return int((lowest < COLLAPSED).sum()), lowest.size


def lost_by_chance(values: dict[str, Any]) -> tuple[int, int]:
    """The same of the controls: from a calm moment, with other batches."""
    lowest = np.ravel([control["others"] for control in values["controls"]])
    return int((lowest < COLLAPSED).sum()), lowest.size


def leads_of(values: dict[str, Any]) -> list[int]:
    """How many steps before the onset the replays begin, the earliest first."""
    return [row["lead"] for row in values["collapses"][0]["replays"]]


def replays_table(values: dict[str, Any]) -> str:
    """How many of the replays collapse, by where they begin and how they go on, as a Markdown table."""
    rows = [[f"{lead}", *("{} of {}".format(*lost(values, way, lead)) for way in WAYS)] for lead in leads_of(values)]
    return table(("from so many steps before", *WAYS.values()), rows)


def replays_picture(values: dict[str, Any]) -> Any:
    """Two panels: the share of the replays that collapse, and how sharp the loss is around the onset."""
    figure = blank_figure(8.4, 3.6)
    shares, sharpness = figure.subplots(1, 2)
    draw_shares(shares, values)
    draw_sharpness(sharpness, values)
    legend_below(figure, shares)
    return figure


def draw_shares(axes: Any, values: dict[str, Any]) -> None:
    """The share of the replays that collapse by where they begin; with the same batches, all do."""
    leads = leads_of(values)
    for index, (way, label) in enumerate(list(WAYS.items())[1:]):
        counts = [lost(values, way, lead) for lead in leads]
        axes.plot([lost_ones / count for lost_ones, count in counts], label=label, linewidth=1.2, **line_look(index))
    by_chance, count = lost_by_chance(values)
    axes.axhline(by_chance / count, color=GREY, linewidth=0.8, label="other batches from any calm")
    axes.set_xticks(range(len(leads)), leads)
    axes.set_xlabel("steps before the onset from which it goes on")
    axes.set_title("replays that collapse", fontsize=10, loc="left")
    share_axis(axes)
    clean_axes(axes)


def draw_sharpness(axes: Any, values: dict[str, Any]) -> None:
    """Median and quartiles, over the collapses, of the sharpness at each step around the onset."""
    for name, color, label in (("apart", BLUE, "another batch"), ("batch", ORANGE, "the step's own")):
        curves = np.array([collapse["looks"][name] for collapse in values["collapses"]])  # (collapses, steps)
        low, middle, high = np.quantile(curves, (0.25, 0.5, 0.75), axis=0)
        steps = np.arange(curves.shape[1]) + values["looked_at"][0]
        axes.fill_between(steps, low, high, color=color, alpha=0.2, linewidth=0)
        axes.plot(steps, middle, color=color, linewidth=1.2, label=label)
    axes.axhline(1, color=GREY, linewidth=0.8)
    axes.axvline(0, color=GREEN, linewidth=0.8, linestyle="--")
    axes.set_yscale("log")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    axes.set_xlabel("steps from the onset")
    axes.set_title("sharpness over the edge of stability", fontsize=10, loc="left")
    clean_axes(axes)


def report_replays(directory: Path, machine: str, write: bool) -> None:
    """Prints the table; writes JSON and the picture if asked to."""
    values = gather(directory)
    print(replays_table(values))
    print("from a calm: {} of {}".format(*lost_by_chance(values)))
    if not write:
        return
    measured = environment(["tinygrad_arith", "numpy"]) | {"cpu": None, "cores": None, "machine": machine}
    path = RESULTS / f"collapse_replays_{measured['date']}.json"
    path.write_text(json.dumps({"benchmark": "collapse_replays", **measured, **values}) + "\n", encoding="utf-8")
    save_figure(replays_picture(values), IMAGES / "collapse_replays.png")
    print(f"written to {path.name} and docs/images/")
