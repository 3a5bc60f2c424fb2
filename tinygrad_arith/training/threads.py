"""How many cores do what: chosen by the size of a step, printed at the start, overridable by flags.

A matrix multiplication spread over two threads gains little at the shapes of small models, and everything between them
gains nothing; two workers that each take half of the batch gain in both. So a step of some size is shared by workers
(see `workers.py`), each with one thread. A tiny step is not worth sharing, by threads of a BLAS neither: at best they
save next to nothing, and where others compute on the same cores they wait for each other, for ten times as long
or so. What OMP_NUM_THREADS says, which every BLAS obeys, is a limit here too.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ..backend import available_cores
from ..models.model import Model
from .config import TrainingOptions

LEAST_EXAMPLES = 8  # a worker with fewer examples is not worth its messages
MANY = 1 << 20  # threads: no limit
LEAST_FLOP = 4e8  # of a step that is shared: below it, handing the work over costs more than it saves


@dataclass(frozen=True)
class Threads:
    """Workers that share a batch, what they are, and the threads of each one's matrix multiplications, None where the
    library that does them cannot be told how many.
    """

    workers: int
    blas: int | None
    kind: str = "processes"

    def __str__(self) -> str:
        many = "as many as NumPy's BLAS takes" if self.blas is None else str(self.blas)
        alone = f"{many} for each matrix multiplication"
        return alone if self.workers == 1 else f"{self.workers} {self.kind} share each batch, {alone}"


def choose_threads(batch_size: int, flop: int, cores: int | None = None) -> Threads:
    """The threads for a step over `batch_size` examples that takes `flop` operations."""
    if flop < LEAST_FLOP:
        return Threads(workers=1, blas=1)
    cores = available_cores() if cores is None else cores
    workers = max(min(cores, batch_size // LEAST_EXAMPLES), 1)
    return Threads(workers, max(cores // workers, 1))


def resolve_threads(training: TrainingOptions, model: Model, positions: int) -> TrainingOptions:
    """The same options with `workers` and `blas_threads` as numbers, where they were left to be chosen (0)."""
    flop = model.shape_report(training.batch, positions).flop
    workers = training.workers or choose_threads(training.batch, flop).workers
    blas = 1 if flop < LEAST_FLOP else max(available_cores() // workers, 1)
    return replace(training, workers=workers, blas_threads=training.blas_threads or min(blas, most_threads()))


def most_threads() -> int:
    """What OMP_NUM_THREADS in the environment allows: MANY if it is not set, or to no number above 0."""
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # of "4,2" the 4: the rest is for nested ones
    return int(said) if said.isdecimal() and int(said) > 0 else MANY


@contextmanager
def matrix_threads(count: int) -> Iterator[None]:
    """Inside, a matrix multiplication takes so many threads; freed memory is kept for the next step from here on.

    For a process that does other things too.
    """
    from threadpoolctl import threadpool_limits

    from ..cpu import keep_freed_memory  # not before: it may warn, which the commands show once they run

    keep_freed_memory()
    with threadpool_limits(limits=count, user_api="blas"):
        yield


def settle_process(blas_threads: int) -> None:
    """Holds the matrix multiplications of this process to so many threads, and keeps freed memory for the next step.

    For a process that does nothing but train: both settings hold until it ends.
    """
    from threadpoolctl import threadpool_limits

    from ..cpu import keep_freed_memory

    threadpool_limits(limits=blas_threads, user_api="blas")
    keep_freed_memory()
