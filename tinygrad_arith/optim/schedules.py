"""The learning rate as a function of the step."""

import math


def learning_rate(
    step: int, *, peak: float, schedule: str = "cosine", warmup: int = 0, steps: int = 1, final_fraction: float = 0.0
) -> float:
    """The rate of step 0, 1, ..., steps - 1.

    Rises linearly over the first `warmup` steps to `peak`, then stays ("constant") or falls along half a cosine to
    `final_fraction * peak` at the last step ("cosine"; Loshchilov and Hutter, "SGDR", 2017,
    arXiv 1608.03983, equation 5).
    """
    if schedule not in ("constant", "cosine"):
        raise ValueError(f"no schedule {schedule!r}; there are constant and cosine")
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    progress = min((step - warmup) / max(steps - 1 - warmup, 1), 1.0)
    fraction = final_fraction + (1.0 - final_fraction) * 0.5 * (1.0 + math.cos(math.pi * progress))
    return peak * fraction
