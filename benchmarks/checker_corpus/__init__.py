"""Right and wrong backwards, drawn from a seed, with the truth about each by mpmath: what `checker_errors.py` measures
gradient checkers on."""
