"""Options that people know from other programs, and what they are called here."""

import difflib
from collections.abc import Iterable

NEAR = 0.65  # how alike names are, of 1, where one may be meant by the other: below it, a hint misleads
ELSEWHERE = {
    "architecture": ("model", "arch"),
    "batch": ("bs", "batch_size"),
    "steps": (
        "epochs",
        "max_steps",
        "iterations",
        "iters",
        "num_steps",
        "n_steps",
        "num_epochs",
        "n_epochs",
        "max_iter",
    ),
    "d_model": ("hidden_size", "n_embd", "embed_dim", "dim", "width"),
    "layers": ("n_layer", "n_layers", "num_layers", "depth"),
    "heads": ("n_head", "n_heads", "num_heads"),
    "ffn": ("d_ff", "dim_feedforward", "intermediate_size"),
    "clip": ("grad_clip", "max_grad_norm"),
    "weight_decay": ("wd",),
    "schedule": ("scheduler", "lr_scheduler"),
    "optimizer": ("optim", "opt"),
    "seed": ("random_state", "random_seed"),
    "workers": ("n_jobs", "num_workers"),
    "out": ("output", "output_dir"),
}
SAME_THING = {other: name for name, others in ELSEWHERE.items() for other in others}
KEYS_ELSEWHERE = {other: name for other, name in SAME_THING.items() if name not in ("architecture", "optimizer", "out")}
REMARKS = {"epochs": ". An epoch is as many steps as there are training problems, divided by the batch"}


def meant_flag(flag: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown flag: which of the known ones was meant, or nothing."""
    known, name = list(known), flag.removeprefix("--").replace("-", "_")
    meant = "--" + SAME_THING.get(name, "").replace("_", "-")
    if meant in known:
        return f"; did you mean {meant}?{REMARKS.get(name, '').removeprefix('.')}"
    by_name = {flag.lstrip("-"): flag for flag in known}  # all begin with dashes: they make nothing alike
    nearest = difflib.get_close_matches(flag.lstrip("-").lower(), by_name, n=1, cutoff=NEAR)
    return f"; did you mean {by_name[nearest[0]]}?" if nearest else ""
