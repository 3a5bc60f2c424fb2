"""From measured times to ratios and tables. Needs neither a GPU nor CuPy."""

from __future__ import annotations

from typing import Any

from cpu_rivals.report import in_ratio, spread

from .contestants import OURS, VARIANTS


def ratio_to_torch(contestants: dict[str, Any]) -> dict[str, Any] | None:
    """Our time over that of the fastest PyTorch variant of the same round; None if none of them took part."""
    rivals = [found["ms"]["per_round"] for name, found in contestants.items() if VARIANTS[name].family == "torch"]
    if not rivals or OURS not in contestants:
        return None
    ours = contestants[OURS]["ms"]["per_round"]
    return spread([mine / min(theirs) for mine, *theirs in zip(ours, *rivals, strict=True)])


def in_ms(found: dict[str, Any]) -> str:
    """ "0.284 (0.281 to 0.290)"."""
    return f"{found['median']:.3f} ({found['min']:.3f} to {found['max']:.3f})"


def lines(result: dict[str, Any]) -> list[str]:
    """What the command prints of one configuration."""
    agreed = result["agreement"]
    out = [
        f"  agreement: float32 gradients within {agreed['float32']:.1e} of their norm; in {result['precision']} our "
        f"error is {agreed['rounded']:.2f} of PyTorch's"
    ]
    for name, found in result["contestants"].items():
        note = f"   {found['note']}" if found["note"] else ""
        out.append(f"  {name:14} {in_ms(found['ms']):>26} ms a step{note}")
    out += [f"  {name:14} skipped: {reason}" for name, reason in result["skipped"].items()]
    return [*out, f"  ours / best PyTorch {in_ratio(result['ratio_to_torch'])}"]


def markdown(report: dict[str, Any], heading: str) -> str:
    """The table that is committed beside the JSON."""
    names = report["variants"]
    columns = ["configuration", "precision", *names, "ours / best PyTorch"]
    out = [
        "# A training step on the GPU",
        "",
        heading,
        "",
        "Milliseconds a step, the copy of its batch from the host included: median over rounds (smallest to largest);",
        "the ratio is against the fastest PyTorch variant of the same round. Shapes are d_model/layers/heads/T/batch.",
        "",
        "| " + " | ".join(columns) + " |",
        "|---" * len(columns) + "|",
    ]
    for result in report["configurations"]:
        cells = [result["configuration"], result["precision"]]
        for name in names:
            found = result["contestants"].get(name)
            cells.append(in_ms(found["ms"]) if found else "skipped")
        out.append("| " + " | ".join([*cells, in_ratio(result["ratio_to_torch"])]) + " |")
    out += ["", *(f"- {name}: {describe}" for name, describe in names.items())]
    for result in report["configurations"]:
        where = f"{result['configuration']} {result['precision']}"
        out += [f"- {where}: {name} skipped, {reason}" for name, reason in result["skipped"].items()]
        out += [f"- {where}: {n}, {found['note']}" for n, found in result["contestants"].items() if found["note"]]
    return "\n".join(out) + "\n"
