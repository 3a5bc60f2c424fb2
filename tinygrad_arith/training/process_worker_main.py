"""The main function of each process that `process_workers.py` starts: computes its part of each batch."""

from ..parallel.child_process import Parent
from ..parallel.shared_arrays import map_arrays
from .batch_parts import loss_and_gradient
from .process_workers import VALUES
from .threads import settle_process


def main() -> None:
    """Takes (model, objective, shared arrays, part) and then jobs; answers each with its loss or with its error."""
    settle_process(blas_threads=1)
    parent = Parent()
    messages = parent.messages()
    model, objective, location, part = next(messages)
    rows = map_arrays(location)
    model.flat.bind(rows[VALUES], rows[part + 1])
    for job in messages:
        answer: float | Exception
        try:
            answer = loss_and_gradient(model, objective, *job)
        except Exception as error:
            answer = error
        parent.answer(answer)


if __name__ == "__main__":
    main()
