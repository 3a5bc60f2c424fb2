"""Training: configurations and presets, the loop, and runs on disk.

Nothing is imported here, so that a command's `--help` does not load what only the training needs. The usual ways in:
`config.Config`, `presets.load_preset`, `session.new_session`, `runs.load_run`, `errors.UserError`.
"""
