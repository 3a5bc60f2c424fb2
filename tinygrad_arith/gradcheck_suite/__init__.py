"""This project's own operations, modules and models before the checker of `verify`: cases, known mutants, the suite."""
