"""Right and wrong backwards, drawn from a seed, with the truth about each by mpmath: what gradient checkers are measured
on by `checker_errors.py`."""
