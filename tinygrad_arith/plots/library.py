"""Loads matplotlib, which by itself logs several lines where it finds no folder of its own to write to."""

import logging
import os
import sys

from ..options.errors import warn


def load_matplotlib() -> None:
    """Import what the pictures need of matplotlib; to be called before any other import of it.

    Where it has to do with a folder that is removed at the end, it looks for the fonts in every process anew: that is
    warned of in one sentence. Raises OSError where it has no folder at all.
    """
    if "matplotlib.font_manager" in sys.modules:  # loaded before, by us or by somebody who has seen its log
        return
    log, folder = logging.getLogger("matplotlib"), os.environ.get("MPLCONFIGDIR")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        import matplotlib.figure
        import matplotlib.font_manager  # noqa: F401
    finally:
        log.setLevel(level)
    if os.environ.get("MPLCONFIGDIR") != folder:  # it has made a folder and says so here
        warn(
            "matplotlib has no folder of its own to write to, so the first picture of every start takes longer; "
            "set MPLCONFIGDIR to a folder that this user may write to"
        )
