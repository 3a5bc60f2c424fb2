"""Models of others, made of our blocks with their weights: the same logits as theirs, in float64."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tinygrad_arith.autograd import no_grad  # noqa: E402
from tinygrad_arith.backend import DtypePolicy  # noqa: E402
from tinygrad_arith.nn import Block, Embedding, LayerNorm, Linear, Module, RMSNorm, Rotary  # noqa: E402
from tinygrad_arith.ops.rotary import turns  # noqa: E402
from tinygrad_arith.ops.rotary_scaling import LinearScaling, Llama3Scaling, LongRopeScaling  # noqa: E402
from tinygrad_arith.verify import assert_close, tolerance  # noqa: E402

SAME = tolerance("torch", "float64")
VOCABULARY, CHANNELS, HEADS, KV_HEADS, HIDDEN, LAYERS = 13, 24, 6, 2, 20, 2


def drawn(theirs):
    """A model of `transformers` with all its weights random, in float64."""
    torch.manual_seed(0)
    theirs = theirs.double().eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, dtype=torch.float64))
    return theirs, {name: value.numpy() for name, value in theirs.state_dict().items()}


def beside(state, *names):
    """Weights (out, in) of linear layers side by side, (in, all outs)."""
    return np.concatenate([state[name].T if state[name].ndim == 2 else state[name] for name in names], axis=-1)


class Llama(Module):
    """Blocks before a norm, and a head."""

    def __init__(self, rotary, qkv_bias, head_size):
        self.tokens = Embedding(VOCABULARY, CHANNELS)
        self.blocks = [
            Block(
                CHANNELS,
                HEADS,
                HIDDEN,
                kv_heads=KV_HEADS,
                head_size=head_size,
                activation="silu",
                gated=True,
                bias=False,
                qkv_bias=qkv_bias,
                normalization="rmsnorm",
                eps=1e-6,
                rotary=rotary,
            )
            for _ in range(LAYERS)
        ]
        self.norm = RMSNorm(CHANNELS, eps=1e-6)
        self.head = Linear(CHANNELS, VOCABULARY, bias=False)

    def forward(self, ids, positions):
        x = self.tokens(ids)
        for block in self.blocks:
            x = block(x, positions=positions)
        return self.head(self.norm(x))


def llama_weights(state, qkv_bias):
    yield "tokens.weight", state["model.embed_tokens.weight"]
    for n in range(LAYERS):
        theirs, ours = f"model.layers.{n}.", f"blocks.{n}."
        parts = [f"{theirs}self_attn.{part}_proj." for part in "qkv"]
        yield f"{ours}attention.qkv.weight", beside(state, *(f"{part}weight" for part in parts))
        if qkv_bias:
            yield f"{ours}attention.qkv.bias", beside(state, *(f"{part}bias" for part in parts))
        yield f"{ours}attention.output.weight", state[f"{theirs}self_attn.o_proj.weight"].T
        yield f"{ours}ffn.up.weight", beside(state, f"{theirs}mlp.gate_proj.weight", f"{theirs}mlp.up_proj.weight")
        yield f"{ours}ffn.down.weight", state[f"{theirs}mlp.down_proj.weight"].T
        yield f"{ours}attention_norm.weight", state[f"{theirs}input_layernorm.weight"]
        yield f"{ours}ffn_norm.weight", state[f"{theirs}post_attention_layernorm.weight"]
    yield "norm.weight", state["model.norm.weight"]
    yield "head.weight", state["lm_head.weight"].T


ROPES = {
    "default": ({}, None),
    "linear": ({"rope_type": "linear", "factor": 4.0}, LinearScaling(4.0)),
    "llama3": (
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
        Llama3Scaling(8.0, 1.0, 4.0, 32),
    ),
    "longrope": (
        {
            "rope_type": "longrope",
            "factor": 4.0,
            "short_factor": [1.0, 1.5],
            "long_factor": [3.0, 4.0],
            "original_max_position_embeddings": 64,
        },
        LongRopeScaling((1.0, 1.5), LongRopeScaling.magnitude_for(256, 64)),
    ),
}


@pytest.mark.parametrize("rope", ROPES)
@pytest.mark.parametrize(("model", "qkv_bias"), [("Llama", False), ("Qwen2", True)])
def test_a_llama(rope, model, qkv_bias):
    settings, scaling = ROPES[rope]
    config = getattr(transformers, f"{model}Config")(
        vocab_size=VOCABULARY,
        hidden_size=CHANNELS,
        intermediate_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=256 if scaling else 64,
        rms_norm_eps=1e-6,
        tie_word_embeddings=False,
        rope_parameters={"rope_theta": 300.0, "rope_type": "default"} | settings,
    )
    theirs, state = drawn(getattr(transformers, f"{model}ForCausalLM")(config))
    ours = Llama(Rotary(300.0, "halves", scaling=scaling), qkv_bias, CHANNELS // HEADS)
    ours.initialize(policy=DtypePolicy.uniform("float64"))
    ours.load_state_dict(dict(llama_weights(state, qkv_bias)))
    ids = np.random.default_rng(1).integers(0, VOCABULARY, (3, 17))
    turn_in_float64(theirs.model.rotary_emb, scaling, CHANNELS // HEADS)
    normalise_in_float64(theirs)
    with torch.no_grad(), no_grad():
        assert_close(ours(ids, np.arange(17)).array, theirs(torch.tensor(ids)).logits.numpy(), SAME)


def normalise_in_float64(model):
    """Their RMS norms go through float32, also in a model of float64."""
    for norm in model.modules():
        if "RMSNorm" in type(norm).__name__:
            norm.forward = lambda x, norm=norm: torch.nn.functional.rms_norm(x, x.shape[-1:], norm.weight, 1e-6)


def turn_in_float64(rotary, scaling, head_size):
    """So do their cosines and sines: they must be ours, and give place to them."""
    places = np.arange(17)
    tables = turns(np.zeros(1), places, head_size, 300.0, scaling)  # (T, 1, HS/2) each
    ours = [np.concatenate([table[:, 0]] * 2, axis=-1)[None] for table in tables]  # (1, T, HS) each
    for mine, other in zip(ours, rotary(torch.zeros(1, dtype=torch.float64), torch.tensor(places)[None]), strict=True):
        assert_close(mine, other.numpy(), tolerance("torch", "float32"))
    rotary.forward = lambda x, position_ids: tuple(map(torch.tensor, ours))


class Bert(Module):
    """Blocks that look both ways, with norms behind, and labels for each token."""

    def __init__(self):
        self.tokens, self.places, self.kinds = (
            Embedding(VOCABULARY, CHANNELS),
            Embedding(32, CHANNELS),
            Embedding(2, CHANNELS),
        )
        self.norm = LayerNorm(CHANNELS, eps=1e-12)
        look = {"activation": "gelu-exact", "norm": "post", "eps": 1e-12, "causal": False}
        self.blocks = [Block(CHANNELS, HEADS, HIDDEN, **look) for _ in range(LAYERS)]
        self.head = Linear(CHANNELS, 5)

    def forward(self, ids, kinds, key_mask):
        x = self.norm(self.tokens(ids) + self.places(np.arange(ids.shape[1])) + self.kinds(kinds))
        for block in self.blocks:
            x = block(x, key_mask)
        return self.head(x)


def bert_weights(state):
    names = {"tokens": "word_embeddings", "places": "position_embeddings", "kinds": "token_type_embeddings"}
    for ours, theirs in names.items():
        yield f"{ours}.weight", state[f"bert.embeddings.{theirs}.weight"]
    for kind in ("weight", "bias"):
        yield f"norm.{kind}", state[f"bert.embeddings.LayerNorm.{kind}"]
        yield f"head.{kind}", state[f"classifier.{kind}"].T
        for n in range(LAYERS):
            theirs, ours = f"bert.encoder.layer.{n}.", f"blocks.{n}."
            parts = [f"{theirs}attention.self.{part}.{kind}" for part in ("query", "key", "value")]
            yield f"{ours}attention.qkv.{kind}", beside(state, *parts)
            yield f"{ours}attention.output.{kind}", state[f"{theirs}attention.output.dense.{kind}"].T
            yield f"{ours}attention_norm.{kind}", state[f"{theirs}attention.output.LayerNorm.{kind}"]
            yield f"{ours}ffn.up.{kind}", state[f"{theirs}intermediate.dense.{kind}"].T
            yield f"{ours}ffn.down.{kind}", state[f"{theirs}output.dense.{kind}"].T
            yield f"{ours}ffn_norm.{kind}", state[f"{theirs}output.LayerNorm.{kind}"]


def test_a_bert():
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=CHANNELS,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=HIDDEN,
        max_position_embeddings=32,
        num_labels=5,
    )
    theirs, state = drawn(transformers.BertForTokenClassification(config))
    ours = Bert()
    ours.initialize(policy=DtypePolicy.uniform("float64"))
    ours.load_state_dict(dict(bert_weights(state)))
    rng = np.random.default_rng(2)
    ids, kinds = rng.integers(0, VOCABULARY, (3, 9)), rng.integers(0, 2, (3, 9))
    mask = np.arange(9) < np.array([[9], [4], [6]])
    with torch.no_grad(), no_grad():
        found = ours(ids, kinds, mask).array
        wanted = theirs(torch.tensor(ids), torch.tensor(mask), torch.tensor(kinds)).logits.numpy()
    assert_close(found[mask], wanted[mask], SAME)
