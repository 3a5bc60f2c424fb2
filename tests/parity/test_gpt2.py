"""A GPT-2 of another library, its weights copied over: the same logits, the same loss, the same gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[parity]'")
transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[parity]'")

from tinygrad_arith.autograd import functions as F  # noqa: E402
from tinygrad_arith.backend import DtypePolicy  # noqa: E402
from tinygrad_arith.models import GPT, GPTConfig  # noqa: E402
from tinygrad_arith.verify import assert_close, tolerance  # noqa: E402

LAYER_NAMES = {
    "attention_norm": "ln_1",
    "attention.qkv": "attn.c_attn",
    "attention.output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn.up": "mlp.c_fc",
    "ffn.down": "mlp.c_proj",
}


def their_name(name):
    """`blocks.0.attention.qkv.weight` -> `transformer.h.0.attn.c_attn.weight`."""
    fixed = {"token_embedding": "wte", "position_embedding": "wpe", "final_norm": "ln_f"}
    module, kind = name.rsplit(".", 1)
    if module in fixed:
        return f"transformer.{fixed[module]}.{kind}"
    _, index, layer = module.split(".", 2)
    return f"transformer.h.{index}.{LAYER_NAMES[layer]}.{kind}"


@pytest.fixture(scope="module")
def pair():
    """Ours and theirs, with the same random weights."""
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=13, n_positions=11, n_embd=12, n_layer=2, n_head=3, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
    )
    theirs = transformers.GPT2LMHeadModel(config).double()
    ours = GPT(GPTConfig(13, 11, 12, layers=2, heads=3, tied_head=True))
    ours.initialize(policy=DtypePolicy.uniform("float64"))
    their_parameters = dict(theirs.named_parameters())
    with torch.no_grad():
        for parameter in their_parameters.values():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    ours.load_state_dict({n: their_parameters[their_name(n)].detach().numpy() for n in ours.named_parameters()})
    return ours, theirs


def test_every_parameter_has_its_counterpart(pair):
    ours, theirs = pair
    assert {their_name(n) for n in ours.named_parameters()} == set(dict(theirs.named_parameters()))
    assert ours.parameter_count() == theirs.num_parameters()


def test_logits_loss_and_every_gradient_agree(pair):
    ours, theirs = pair
    ids = np.random.default_rng(3).integers(0, 13, size=(4, 11))
    their_logits = theirs(torch.tensor(ids)).logits
    # (their own loss is computed in float32)
    their_loss = torch.nn.functional.cross_entropy(
        their_logits[:, :-1].reshape(-1, 13), torch.tensor(ids[:, 1:]).reshape(-1)
    )
    their_loss.backward()

    ours.flat.zero_gradients()
    logits = ours(ids)
    targets = np.concatenate([ids[:, 1:], np.full((4, 1), -1)], axis=1)
    loss = F.cross_entropy(logits, targets)
    loss.backward()

    same = tolerance("torch", "float64")
    assert_close(logits.data, their_logits.detach().numpy(), same, "logits")
    assert loss.item() == pytest.approx(their_loss.item(), rel=same.largest)
    their_parameters = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters().items():
        assert_close(parameter.grad, their_parameters[their_name(name)].grad.numpy(), same, f"d{name}")
