"""A figure that a notebook shows by itself. In a file of its own: it loads matplotlib."""

import io

from matplotlib.figure import Figure

DOTS_PER_INCH = 110  # on a screen


class ShownFigure(Figure):
    """A figure that shows itself in any notebook, without pyplot and without `%matplotlib inline`."""

    def _repr_png_(self) -> bytes:
        """What Jupyter and others ask for: the picture in PNG."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
        return buffer.getvalue()
