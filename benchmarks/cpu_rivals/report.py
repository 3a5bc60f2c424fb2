"""From measured times to ratios and tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from .variants import VARIANTS

OURS = "ours"
MEGABYTE = 1e6


def spread(values: list[float]) -> dict[str, Any]:
    """Median, smallest and largest, and the values themselves, one a round."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "per_round": values}


def ratios(result: dict[str, Any], family: str) -> dict[str, Any] | None:
    """Our time over that of the family's fastest variant in the same round; None if nobody of it took part."""
    rivals = [figures["round_ms"] for name, figures in result["variants"].items() if VARIANTS[name].family == family]
    if not rivals:
        return None
    ours = result["variants"][OURS]["round_ms"]
    return spread([mine / min(theirs) for mine, *theirs in zip(ours, *rivals, strict=True)])


def memory_ratio(result: dict[str, Any]) -> float | None:
    """Our peak memory over the smallest of PyTorch's variants; None where it was not measured."""
    peaks = {name: figures["peak_bytes"] for name, figures in result["variants"].items()}
    rivals = [peak for name, peak in peaks.items() if VARIANTS[name].family == "torch"]
    return peaks[OURS] / min(rivals) if rivals and None not in (peaks[OURS], *rivals) else None


def geometric_mean(results: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """Of the ratios to PyTorch over the configurations, for each round; None if a configuration has no ratio."""
    found = [result["ratio_to_torch"] for result in results]
    if not found or None in found:
        return None
    return spread([statistics.geometric_mean(row) for row in zip(*(f["per_round"] for f in found), strict=True)])


def in_ratio(found: dict[str, Any] | None) -> str:
    """ "0.84 (0.80 to 0.91)"."""
    return f"{found['median']:.2f} ({found['min']:.2f} to {found['max']:.2f})" if found else "not measured"


def in_megabytes(size: int | None) -> str:
    """ "512 MB"."""
    return f"{size / MEGABYTE:,.0f} MB" if size is not None else "not measured"


def configuration_lines(result: dict[str, Any]) -> list[str]:
    """What the script prints of one configuration: times, memory, ratios, our split."""
    lines = [f"  {'':14} {'ms a step':>10} {'rounds':>19} {'peak memory':>13} {'above start':>13}"]
    for name, f in result["variants"].items():
        between = f"{min(f['round_ms']):,.1f} to {max(f['round_ms']):,.1f}"
        above = None if f["peak_bytes"] is None else f["peak_bytes"] - f["start_bytes"]
        memory = f"{in_megabytes(f['peak_bytes']):>13} {in_megabytes(above):>13}"
        lines.append(f"  {name:14} {f['median_ms']:10,.1f} {between:>19} {memory}")
    lines += [f"  {name:14} skipped: {reason}" for name, reason in result["skipped"].items()]
    lines.append(
        f"  ours / best PyTorch {in_ratio(result['ratio_to_torch'])}; / JAX {in_ratio(result['ratio_to_jax'])}"
    )
    return lines + split_lines(result["split"])


def split_lines(split: dict[str, Any]) -> list[str]:
    """Our time by operation."""
    total = split["step_ms"]
    lines = [f"  {'our step, clocks on, ms':24} {'forward':>9} {'backward':>9} {'share':>6}"]
    for row in split["rows"]:
        forward, backward = row["forward_ms"], row["backward_ms"]
        lines.append(f"  {row['part']:24} {forward:9.2f} {backward:9.2f} {(forward + backward) / total:6.1%}")
    return [*lines, f"  {'sum':24} {total:19.2f}, in the first of {split['processes']} process(es)"]


def markdown(report: dict[str, Any], heading: str) -> str:
    """The table that is committed beside the JSON."""
    names = list(report["variants"])
    columns = ["configuration", *names, "ours / best PyTorch", "ours / JAX", "memory / PyTorch"]
    lines = [
        "# A training step on the CPU",
        "",
        heading,
        "",
        "Milliseconds a step, the median of the rounds' medians, and peak memory (what processes share counts once);",
        "ratios as median (smallest to largest) over the rounds, each against the fastest PyTorch variant of it.",
        "Shapes are d_model/layers/heads/T/batch.",
        "",
        "| " + " | ".join(columns) + " |",
        "|---" * len(columns) + "|",
    ]
    lines += [markdown_row(result, names) for result in report["configurations"]]
    lines += ["", f"Geometric mean of ours / best PyTorch: **{in_ratio(report['geometric_mean'])}**.", ""]
    lines += [f"- {name}: {variant['describe']}" for name, variant in report["variants"].items()]
    for result in report["configurations"]:
        lines += [f"- {result['configuration']['name']}: {n} skipped, {why}" for n, why in result["skipped"].items()]
        lines += [
            "",
            f"## {result['configuration']['name']}: our step by operation",
            *markdown_split(result["split"]),
        ]
    return "\n".join(lines) + "\n"


def markdown_row(result: dict[str, Any], names: list[str]) -> str:
    """One configuration of the table."""
    cells = [result["configuration"]["name"]]
    for name in names:
        f = result["variants"].get(name)
        cells.append(f"{f['median_ms']:,.1f} ms, {in_megabytes(f['peak_bytes'])}" if f else "skipped")
    memory = result["memory_ratio_to_torch"]
    cells += [in_ratio(result["ratio_to_torch"]), in_ratio(result["ratio_to_jax"])]
    cells.append(f"{memory:.2f}" if memory is not None else "not measured")
    return "| " + " | ".join(cells) + " |"


def markdown_split(split: dict[str, Any]) -> list[str]:
    """Our time by operation, as a table."""
    rows = [f"| {r['part']} | {r['forward_ms']:.2f} | {r['backward_ms']:.2f} |" for r in split["rows"]]
    where = f"in the first of {split['processes']} process(es)"
    head = f"Milliseconds {where}; the step took {split['step_ms']:.2f}, with clocks on."
    return ["", head, "", "| part | forward | backward |", "|---|---|---|", *rows]
