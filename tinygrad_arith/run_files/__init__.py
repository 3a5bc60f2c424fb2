"""A run on disk: its record, checkpoints, metrics and predictions, each file written whole or not at all."""
