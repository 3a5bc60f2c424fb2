"""The pictures: one file each, each a function from numbers to a matplotlib `Figure`.

No pyplot and no global state: they work without a display, in threads, and inside somebody else's matplotlib session.
matplotlib is imported when the first picture is drawn.
"""

from .figure import save_figure
from .length_heatmap import length_heatmap
from .loss_mask import loss_mask
from .training_curve import plot_training_curve, training_curve

__all__ = ["length_heatmap", "loss_mask", "plot_training_curve", "save_figure", "training_curve"]
