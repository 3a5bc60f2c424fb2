"""The other end of `worker_processes`: computes its part of each batch until there are no more."""

import os
import pickle
import signal
import sys

from .shared_arrays import map_arrays
from .threads import settle_process
from .worker_processes import VALUES
from .workers import loss_and_gradient


def main() -> None:
    """Reads (model, shared arrays, part) and then jobs from stdin; answers each with its loss or with its error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal's processes; the first one decides
    settle_process(blas_threads=1)
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed goes to stderr: stdout is for answers
    model, location, part = pickle.load(requests)
    rows = map_arrays(location)
    model.flat.bind(rows[VALUES], rows[part + 1])
    while True:
        try:
            job = pickle.load(requests)
        except EOFError:
            return
        answer: float | Exception
        try:
            answer = loss_and_gradient(model, *job)
        except Exception as error:
            answer = error
        try:
            pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
        except OSError:  # nobody listens any more: the training was killed
            os._exit(1)


if __name__ == "__main__":
    main()
