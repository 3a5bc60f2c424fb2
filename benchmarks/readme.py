"""Writes tables of docs/, and the README's lines on them, from the newest results: every number in them was measured.

    python benchmarks/readme.py [--check]

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. With --check nothing is written; the exit code is 1 if
a page does not say what the results say.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Collection
from pathlib import Path

from checker_corpus import report
from collapse.replay_report import replays_table
from collapse.report import edge_table, variants_table
from float32_errors import markdown as float32_table
from gpu_rivals.report import variants_and_rivals_table
from markdown_table import table

from tinygrad_arith.cli.console import as_duration, as_share

ROOT = Path(__file__).resolve().parents[1]
PAGES = {  # the tables that each page holds; experiments.py writes the others of docs/experiments.md
    "README.md": ("headlines",),
    "docs/checking_your_own.md": ("mutation_score", "rivals", "checker_errors"),
    "docs/collapse.md": ("collapse", "edge", "replays"),
    "docs/cpu.md": ("train_steps",),
    "docs/cuda.md": ("gpu_attention", "gpu_steps"),
    "docs/experiments.md": ("experiments", "train_seeds"),
    "docs/float32.md": ("float32_errors",),
}
RESULTS = ROOT / "benchmarks" / "results"
MARK = r"<!-- table: (\w+) -->"

HEADLINES = (  # preset, what it is, what was published in short
    ("candle-binary-reversed", "12-bit binary sums, the candle article to the parameter", "30 min"),
    ("julia-gpt", "two-digit sums, the Julia article's window model", "99.9 % in fives, 74 min"),
    ("julia-dnn", "the same by its dense rival", "86.3 % in fives, 27 min"),
    ("julia-split-plain", "the same sums by our causal GPT", ""),
    ("julia-split-reversed", "and least significant digit first", ""),
    ("julia-expressions", "expressions such as `(1+2)*(3+4)`, from a quarter of them", ""),
    ("coupled-10digit", "10-digit sums, coupled positions, 53,201 parameters", ""),
    ("absolute-10digit", "the same with learned absolute positions", ""),
    ("subtraction-12bit", "12-bit binary differences, the sign last", ""),
    ("grokking-mod113", "addition modulo 113 from 30 % of the pairs", "all, near epoch 10,000"),
)
TRAINED = (  # name of the result, what it is
    ("train_seeds_binary-reversed", "8 bits, reversed (the default), NumPy alone"),
    ("experiment_binary-reversed", "the same, with Numba and MKL"),
    ("experiment_binary-reversed-12bit", "12 bits, reversed, with Numba and MKL"),
    ("experiment_binary-plain", "8 bits, most significant bit first, with Numba and MKL"),
)


def newest(name: str) -> dict:
    """The newest result of that name."""
    dated = sorted(RESULTS.glob(f"{name}_????-??-??.json"))
    return json.loads(dated[-1].read_text(encoding="utf-8"))


def between(shares: list[float]) -> str:
    """From the lowest share to the highest; one share if all read the same."""
    low, high = as_share(min(shares)), as_share(max(shares))
    return low if low == high else f"{low} to {high}"


def train_seeds() -> str:
    """Exact match and time of each preset over its seeds."""
    rows = []
    for name, title in TRAINED:
        result = newest(name)
        runs = result["runs"]
        found = between([run["test_correct"] / run["test_count"] for run in runs])
        seconds = [run["seconds"] for run in runs]
        time = f"{statistics.median(seconds):.0f} s ({min(seconds):.0f} to {max(seconds):.0f})"
        rows.append((title, f"{runs[0]['step']:,}", f"{len(runs)}", f"{runs[0]['test_count']:,}", found, time))
    scripts = "`benchmarks/train_seeds.py`, `experiments.py`"
    where = f"\n\n{result['cpu']}, {result['cores']} cores, {result['date']}; {scripts}."
    return table(("task", "steps", "seeds", "unseen pairs", "exact match", "time, median"), rows) + where


def mutation_score() -> str:
    """The score over all operations."""
    result = newest("mutation_score")
    total = result["total"]
    counts = [total["mutants"], total["killed"], total["equivalent"]]
    row = tuple(f"{count:,}" for count in (*counts, counts[0] - counts[1] - counts[2]))
    header = ("mutants of all backwards", "killed", "equivalent, each with its reason", "survived")
    return table(header, [row])


def rivals() -> str:
    """How many of the wrong backwards each checker rejects, and what a check costs."""
    rows = [
        (
            entry["checker"],
            f"{entry['rejected']} of {entry['faults']}",
            f"{entry['milliseconds_right']:.1f} / {entry['milliseconds_wrong']:.1f}",
        )
        for entry in newest("rivals_gradcheck")["total"]
    ]
    return table(("checker", "rejected", "ms a check, right / wrong backward"), rows)


def checker_errors() -> str:
    """How often each gradient checker errs on the corpus of right and wrong backwards."""
    return report.totals(newest("checker_errors")["total"])


def gpu_attention() -> str:
    """Times of every kernel variant of attention and of PyTorch's backends."""
    if not list(RESULTS.glob("gpu_attention_????-??-??.json")):
        return "Not measured yet."
    result = newest("gpu_attention")
    where = f"\n\nForward / backward; {result['gpu']}, {result['date']}; `benchmarks/gpu_attention.py`."
    return variants_and_rivals_table(result) + where


def experiments() -> str:
    """The headline of each published experiment; docs/experiments.md has all."""
    rows = []
    for preset, what, published in HEADLINES:
        if not list(RESULTS.glob(f"experiment_{preset}_????-??-??.json")):
            continue  # not yet run as the preset is today
        result = newest(f"experiment_{preset}")
        runs = result["runs"]
        found = between([run["test_exact_match"] for run in runs])
        found += f"; {len(runs)} seed{'s' if len(runs) > 1 else ''}"
        fives = [run["further"]["best_in_fives"] for run in runs if "best_in_fives" in run["further"]]
        if fives:
            found += f"; best in fives {between(fives)}"
        time = as_duration(min(run["seconds"] for run in runs))
        gpus = result.get("gpus") or ([result["machine"]] if "NVIDIA" in result["machine"] else [])
        on = gpus[0].removeprefix("NVIDIA ").split()[0] if gpus else f"{result['cores']} cores"
        rows.append((f"{what} (`{preset}`)", published, found, f"{time}, {on}"))
    return table(("what", "published", "ours, exact match", "ours, fastest run"), rows)


def gpu_steps() -> str:
    """Our training step on the GPU beside PyTorch's variants."""
    result = newest("gpu_train_step")
    rivals = {"torch-graph": "PyTorch, one graph", "torch-compile": "torch.compile", "torch-eager": "eager"}
    rows = []
    for entry in result["configurations"]:
        ms = {name: contestant["ms"]["median"] for name, contestant in entry["contestants"].items()}
        name = f"{entry['configuration']}, {entry['precision']}"
        times = (f"{ms[name]:.2f} ms" for name in ("ours", *rivals))
        rows.append((name, *times, f"**{entry['ratio_to_torch']['median']:.2f}**"))
    header = ("d_model/layers/heads/T/batch", "ours", *rivals.values(), "ours over the best")
    where = f"\n\n{result['gpu']}, {result['date']}; `benchmarks/gpu_train_step.py`."
    return table(header, rows) + where


def collapse() -> str:
    """How often accuracy collapses, by what was changed."""
    result = newest("collapse")
    where = f"\n\n{result['machine']}, {result['date']}; `benchmarks/collapse/`."
    return variants_table(result["variants"]) + where


def edge() -> str:
    """How far from the edge of stability runs are."""
    return edge_table(newest("collapse")["edge_of_stability"])


def replays() -> str:
    """How many replays of a collapse collapse."""
    result = newest("collapse_replays")
    return replays_table(result) + f"\n\n{result['machine']}, {result['date']}."


def float32_errors() -> str:
    """The error of each operation in float32 beside PyTorch's."""
    result = newest("float32_errors")
    where = f"\n\n{result['cpu']}, {result['date']}; `benchmarks/float32_errors.py`."
    return float32_table(result) + where


def train_steps() -> str:
    """Our training step on the CPU over PyTorch's fastest variant, with and without what is optional."""
    result = newest("cpu_train_step")
    rows = []
    for entry in result["configurations"]:
        variants, ratio = entry["variants"], entry["ratio_to_torch"]
        rival = min(v["median_ms"] for name, v in variants.items() if name.startswith("torch"))
        alone = variants["ours-numpy"]["median_ms"] / rival
        between = f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"
        name, ours = entry["configuration"]["name"], f"{variants['ours']['median_ms']:,.1f} ms"
        rows.append((name, ours, between, f"{alone:.2f}", f"{entry['memory_ratio_to_torch']:.2f}"))
    mean = result["geometric_mean"]
    rows.append(("geometric mean", "", f"**{mean['median']:.2f}** ({mean['min']:.2f} to {mean['max']:.2f})", "", ""))
    header = ("d_model/layers/heads/T/batch", "ours", "over PyTorch", "with NumPy alone", "memory over PyTorch")
    where = f"\n\n{result['cpu']}, {result['cores']} cores, {result['date']}; `benchmarks/cpu_train_step.py`."
    return table(header, rows) + where


def headlines() -> str:
    """The results in a line each, with the page that has the table."""
    return "\n".join(f"- {line()}" for line in (of_learning, of_gradients, of_checkers, of_cpu_steps, of_gpu_steps))


def of_learning() -> str:
    """What the default preset reaches, and in what time."""
    result = newest("train_seeds_binary-reversed")
    alone, fast = result["runs"], newest("experiment_binary-reversed")["runs"]
    share = between([run["test_correct"] / run["test_count"] for run in alone])
    times = [f"{statistics.median(run['seconds'] for run in runs):.0f} s" for runs in (alone, fast)]
    return (
        f"**It learns.** The default: {share} of {alone[0]['test_count']:,} unseen sums on {len(alone)} seeds, in "
        f"{times[0]} on {result['cores']} cores with NumPy alone, {times[1]} with Numba and MKL. Published experiments "
        "made again, with commands and seeds: [docs/experiments.md](docs/experiments.md)."
    )


def of_gradients() -> str:
    """What became of the mutants."""
    total = newest("mutation_score")["total"]
    survived = total["mutants"] - total["killed"] - total["equivalent"]
    return (
        f"**Its gradients are right.** Of {total['mutants']:,} mutants of all backwards the checks kill "
        f"{total['killed']:,}; {total['equivalent']} are equivalent, {survived} survive: "
        "[how far to trust it](docs/checking_your_own.md#how-far-to-trust-it)."
    )


def of_checkers() -> str:
    """How often our checker and PyTorch's err."""
    total = {entry["checker"]: entry for entry in newest("checker_errors")["total"]}
    ours, torch = total["check_gradients (ours)"], total["torch.autograd.gradcheck"]
    return (
        f"**Its checker errs less.** Of {ours['wrong']:,} wrong backwards it passes {ours['wrong_passed']} "
        f"(`torch.autograd.gradcheck`: {torch['wrong_passed']}), of {ours['right']:,} right ones it accuses "
        f"{ours['right_accused']} ({torch['right_accused']}); {ours['undecided']} it leaves undecided: "
        "[the table](docs/checking_your_own.md#how-far-to-trust-it)."
    )


def of_cpu_steps() -> str:
    """Our step on a CPU over PyTorch's."""
    result = newest("cpu_train_step")
    return (
        f"**It is fast on a CPU.** A training step takes {result['geometric_mean']['median']:.2f} of the time of "
        f"PyTorch's fastest variant (geometric mean of {len(result['configurations'])} shapes, {result['cores']} "
        "cores, with Numba and MKL): [docs/cpu.md](docs/cpu.md#a-step-beside-pytorchs)."
    )


def of_gpu_steps() -> str:
    """Our step on a GPU over PyTorch's."""
    result = newest("gpu_train_step")
    ratios = [entry["ratio_to_torch"]["median"] for entry in result["configurations"]]
    return (
        f"**And on a GPU.** {min(ratios):.2f} to {max(ratios):.2f} of the best of PyTorch's variants at {len(ratios)} "
        f"shapes ({result['gpu'].removeprefix('NVIDIA ')}); attention beside FlashAttention-2: "
        "[docs/cuda.md](docs/cuda.md#5-the-rest-of-the-step)."
    )


def filled(text: str, names: Collection[str]) -> str:
    """A page with those tables made anew, and any others left. Raises ValueError where it lacks one."""
    found = re.findall(MARK, text)
    if missing := [name for name in names if found.count(name) != 1]:
        raise ValueError(f"no place, or several, for the tables {', '.join(missing)}")

    def fill(match: re.Match) -> str:
        return f"<!-- table: {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->" if match[1] in names else match[0]

    return re.sub(MARK + r"\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


TABLES = {
    "headlines": headlines,
    "train_seeds": train_seeds,
    "mutation_score": mutation_score,
    "rivals": rivals,
    "checker_errors": checker_errors,
    "gpu_attention": gpu_attention,
    "train_steps": train_steps,
    "collapse": collapse,
    "edge": edge,
    "replays": replays,
    "float32_errors": float32_errors,
    "experiments": experiments,
    "gpu_steps": gpu_steps,
}


def main() -> int:
    """Writes or checks; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail where a page differs")
    args = parser.parse_args()
    changed = {}
    for name, tables in PAGES.items():
        page = ROOT / name
        text = page.read_text(encoding="utf-8")
        if (made := filled(text, tables)) != text:
            changed[page] = made
    if args.check:
        return int(bool(changed))
    for page, text in changed.items():
        page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
