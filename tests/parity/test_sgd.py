"""SGD beside `torch.optim.SGD`: every mode of it, in both precisions. (PyTorch has no Lion: tests/optim.)"""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[parity]'")

from tinygrad_arith.autograd import functions as F  # noqa: E402
from tinygrad_arith.backend import DtypePolicy  # noqa: E402
from tinygrad_arith.nn import Linear, Module  # noqa: E402
from tinygrad_arith.optim import SGD, clip_scale, gradient_norm  # noqa: E402
from tinygrad_arith.verify import assert_close, tolerance  # noqa: E402

MODES = {
    "plain": {"momentum": 0.0},
    "plain, decay": {"momentum": 0.0, "weight_decay": 0.1},
    "momentum": {"momentum": 0.9},
    "momentum, decay": {"momentum": 0.9, "weight_decay": 0.1},
    "dampening": {"momentum": 0.8, "dampening": 0.3},
    "dampening, decay": {"momentum": 0.8, "dampening": 0.9, "weight_decay": 0.05},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "nesterov, decay": {"momentum": 0.7, "nesterov": True, "weight_decay": 0.1},
}


class Network(Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = Linear(5, 7), Linear(7, 3)

    def forward(self, x):
        return self.down(F.gelu(self.up(x)))


def of_torch(model, x):
    gelu = torch.nn.functional.gelu(x @ model["up.weight"] + model["up.bias"], approximate="tanh")
    return gelu @ model["down.weight"] + model["down.bias"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("decay_all", [False, True])
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_sgd_takes_the_steps_of_pytorch(mode, decay_all, dtype):
    rng, same = np.random.default_rng(5), tolerance("torch", dtype)
    model = Network().initialize(seed=1, policy=DtypePolicy.uniform(dtype))
    theirs = {name: torch.tensor(p.array.copy(), requires_grad=True) for name, p in model.named_parameters().items()}
    decayed = [p for p in theirs.values() if p.ndim == 2 or decay_all]
    others = [p for p in theirs.values() if p.ndim == 1 and not decay_all]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}] if others else decayed
    their_optimizer = torch.optim.SGD(groups, lr=0.1, **mode)
    optimizer = SGD(model.flat, coupled_decay=True, decay_all=decay_all, **mode)
    for step in range(6):
        x, wanted = (rng.normal(size=(4, size)).astype(dtype) for size in (5, 3))
        model.flat.zero_gradients()
        their_optimizer.zero_grad()
        difference = model(x) - wanted
        (difference * difference).sum().backward()
        ((of_torch(theirs, torch.tensor(x)) - torch.tensor(wanted)) ** 2).sum().backward()
        scale = clip_scale(gradient_norm(model.flat), 1.0)
        for parameter in theirs.values():
            parameter.grad *= float(scale)
        rate = 0.1 / (step + 1)
        for group in their_optimizer.param_groups:
            group["lr"] = rate
        optimizer.step(rate, scale)
        their_optimizer.step()
        for name, parameter in model.named_parameters().items():
            assert_close(parameter.array, theirs[name].detach().numpy(), same, f"step {step}: {name}")
    if mode["momentum"]:
        for name, parameter in model.named_parameters().items():
            buffer = their_optimizer.state[theirs[name]]["momentum_buffer"].numpy()
            velocity = optimizer.velocity[model.flat.slices[name]].reshape(parameter.shape)
            assert_close(velocity, buffer, same, f"velocity of {name}")


def test_decoupled_decay_is_that_of_pytorchs_adamw():
    """SGD has none in PyTorch; the weights shrink as those of its AdamW do where nothing else moves them."""
    model = Linear(3, 4, bias=False).initialize(seed=1, policy=DtypePolicy.uniform("float64"))
    theirs = torch.tensor(model.weight.array.copy(), requires_grad=True)
    their_optimizer = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.3)
    optimizer = SGD(model.flat, momentum=0.9, weight_decay=0.3)
    for _ in range(4):
        theirs.grad = torch.zeros_like(theirs)
        model.flat.zero_gradients()
        their_optimizer.step()
        optimizer.step(0.1)
    assert_close(model.weight.array, theirs.detach().numpy(), tolerance("torch", "float64"))
