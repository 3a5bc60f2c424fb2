"""The checkers, each as a function of a case that says "passed", "wrong", "undecided" or "refused", and why."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from tinygrad_arith.verify import GradientCheck, GradientMismatch, VacuousCheck

from .corpus import Case
from .problem import as_tuple

Answer = tuple[str, str]  # verdict and reason
Checker = Callable[[Case], Answer]
ALLOWED = ("kinks",)  # what the corpus does on purpose


def ours(case: Case) -> Answer:
    """`tinygrad_arith.verify.GradientCheck` with its defaults, without the diagnosis."""
    problem = case.problem
    try:
        report = GradientCheck(problem.forward, problem.arrays, allow=ALLOWED).run(case.backward, diagnosis=False)
    except GradientMismatch as mismatch:
        return "wrong", str(mismatch)
    except VacuousCheck as refusal:
        return "refused", str(refusal)
    return getattr(report, "verdict", "passed" if report.passed else "wrong"), str(report)


def torch_checker(fast_mode: bool) -> Checker:
    """`torch.autograd.gradcheck` on an `autograd.Function` around the pair; ImportError without PyTorch."""
    import torch

    torch.set_num_threads(1)

    class Pair(torch.autograd.Function):
        @staticmethod
        def forward(ctx, case, *tensors):
            out, ctx.cache = case.problem.forward(*(tensor.detach().numpy() for tensor in tensors))
            ctx.backward_of_case, ctx.several = case.backward, isinstance(out, tuple)
            outputs = tuple(torch.from_numpy(np.array(o)) for o in as_tuple(out))
            return outputs if ctx.several else outputs[0]

        @staticmethod
        def backward(ctx, *cotangents):
            dy = tuple(c.numpy() for c in cotangents)
            gradients = as_tuple(ctx.backward_of_case(dy if ctx.several else dy[0], ctx.cache))
            return None, *(torch.from_numpy(np.array(gradient)) for gradient in gradients)

    def answer(case: Case) -> Answer:
        tensors = tuple(torch.tensor(array, requires_grad=True) for array in case.problem.arrays)
        try:
            torch.autograd.gradcheck(lambda *given: Pair.apply(case, *given), tensors, fast_mode=fast_mode)
        except Exception as error:
            return "wrong", f"{type(error).__name__}: {error}"
        return "passed", ""

    return answer


def jax_checker() -> Checker:
    """`jax.test_util.check_grads` on a `custom_vjp` around the pair; ImportError without JAX."""
    import jax
    from jax import test_util

    jax.config.update("jax_enable_x64", True)
    logging.getLogger("jax").setLevel(logging.CRITICAL)  # it logs what it also raises

    def like(arrays):
        return tuple(jax.ShapeDtypeStruct(np.shape(array), "float64") for array in arrays)

    def answer(case: Case) -> Answer:
        problem = case.problem
        several = isinstance(problem.forward(*problem.arrays)[0], tuple)

        def host_forward(*arrays):
            return problem.outputs(*map(np.asarray, arrays))

        def host_backward(dy, *arrays):
            cache = problem.forward(*map(np.asarray, arrays))[1]
            dy = tuple(map(np.asarray, dy))
            return tuple(map(np.asarray, as_tuple(case.backward(dy if several else dy[0], cache))))

        @jax.custom_vjp
        def function(*arrays):
            return jax.pure_callback(host_forward, like(host_forward(*problem.arrays)), *arrays)

        function.defvjp(
            lambda *arrays: (function(*arrays), arrays),
            lambda arrays, dy: jax.pure_callback(host_backward, like(arrays), dy, *arrays),
        )
        try:
            test_util.check_grads(function, problem.arrays, order=1, modes=["rev"])
        except Exception as error:
            return "wrong", f"{type(error).__name__}: {error}"
        return "passed", ""

    return answer


MAKERS: dict[str, tuple[str, Callable[[], Checker]]] = {  # by the name on the command line: the name in the tables
    "ours": ("check_gradients (ours)", lambda: ours),
    "torch": ("torch.autograd.gradcheck", lambda: torch_checker(fast_mode=False)),
    "torch-fast": ("torch gradcheck, fast_mode", lambda: torch_checker(fast_mode=True)),
    "jax": ("jax.test_util.check_grads", jax_checker),
}


def checkers(names: list[str]) -> tuple[dict[str, Checker], list[str]]:
    """Those of these names that can run here, by their names in the tables, and a line for each that cannot."""
    found, missing = {}, []
    for title, make in (MAKERS[name] for name in names):
        try:
            found[title] = make()
        except ImportError as error:
            missing.append(f"skipped: {title} ({error})")
    return found, missing
