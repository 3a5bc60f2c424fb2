"""The pictures: one file each, each a function from numbers to a matplotlib `Figure`.

No pyplot and no global state: they work without a display, in threads, and inside somebody else's matplotlib session.
matplotlib is imported when the first picture is drawn. Which pictures a run has, and how they are made of what lies in
its directory, is in `catalogue.py` and `run_data.py`.
"""

from .accuracy_by_length import accuracy_by_length
from .accuracy_by_train_size import accuracy_by_train_size
from .accuracy_curves import accuracy_curves
from .answer_positions import answer_positions
from .attention_maps import attention_maps
from .figure import save_figure
from .grokking import fourier_norms, grokking
from .group_scores import group_scores
from .length_heatmap import length_heatmap
from .loss_mask import loss_mask
from .losses import losses
from .series import Curve, Series
from .token_picture import token_picture
from .training_curve import plot_training_curve, training_curve

__all__ = [
    "Curve",
    "Series",
    "accuracy_by_length",
    "accuracy_by_train_size",
    "accuracy_curves",
    "answer_positions",
    "attention_maps",
    "fourier_norms",
    "grokking",
    "group_scores",
    "length_heatmap",
    "loss_mask",
    "losses",
    "plot_training_curve",
    "save_figure",
    "token_picture",
    "training_curve",
]
