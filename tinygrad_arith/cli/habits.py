"""Flags that people know from other programs, and what they are called here."""

from collections.abc import Iterable

from ..options.option import did_you_mean

SAME_THING = {
    "--model": "--architecture",
    "--arch": "--architecture",
    "--lr": "--learning-rate",
    "--bs": "--batch",
    "--batch-size": "--batch",
    "--epochs": "--steps",
    "--max-steps": "--steps",
    "--iterations": "--steps",
    "--iters": "--steps",
    "--hidden-size": "--d-model",
    "--n-embd": "--d-model",
    "--n-layer": "--layers",
    "--n-layers": "--layers",
    "--num-layers": "--layers",
    "--n-head": "--heads",
    "--n-heads": "--heads",
    "--num-heads": "--heads",
    "--wd": "--weight-decay",
    "--scheduler": "--schedule",
    "--optim": "--optimizer",
    "--opt": "--optimizer",
    "--output": "--out",
    "--output-dir": "--out",
}
REMARKS = {"--epochs": " An epoch is as many steps as there are training problems, divided by --batch"}


def meant_flag(flag: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown flag: which of the known ones was meant, or nothing."""
    known = list(known)
    if SAME_THING.get(flag) in known:
        return f"; did you mean {SAME_THING[flag]}?{REMARKS.get(flag, '')}"
    return did_you_mean(flag, known)
