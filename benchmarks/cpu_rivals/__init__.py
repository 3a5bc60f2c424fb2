"""One GPT's training step in this project, PyTorch and JAX, each behind the same line protocol in a process of its own.

configurations.py  the shapes that are measured          ours.py, torch_gpt.py, jax_gpt.py  the contestants
variants.py        the contestants by name               profiling.py  our step, split by operation
protocol.py        what script and worker say            worker.py     the process; inputs.py makes its weights and data
rounds.py          checks, then times in turns           report.py     ratios and tables
"""
