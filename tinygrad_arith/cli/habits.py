"""Flags that people know from other programs, and what they are called here."""

from collections.abc import Iterable

from ..options.option import did_you_mean

ELSEWHERE = {
    "--architecture": ("--model", "--arch"),
    "--batch": ("--bs", "--batch-size"),
    "--steps": ("--epochs", "--max-steps", "--iterations", "--iters"),
    "--d-model": ("--hidden-size", "--n-embd"),
    "--layers": ("--n-layer", "--n-layers", "--num-layers"),
    "--heads": ("--n-head", "--n-heads", "--num-heads"),
    "--weight-decay": ("--wd",),
    "--schedule": ("--scheduler",),
    "--optimizer": ("--optim", "--opt"),
    "--out": ("--output", "--output-dir"),
}
SAME_THING = {other: flag for flag, others in ELSEWHERE.items() for other in others}
REMARKS = {"--epochs": " An epoch is as many steps as there are training problems, divided by --batch"}


def meant_flag(flag: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown flag: which of the known ones was meant, or nothing."""
    known = list(known)
    if SAME_THING.get(flag) in known:
        return f"; did you mean {SAME_THING[flag]}?{REMARKS.get(flag, '')}"
    return did_you_mean(flag, known)
