"""What people look for on modules under the names of other libraries, and what does it here."""

_NO_SWITCH = "a dropout_key turns dropout on for one call, and without one it is off: nothing else"
_DTYPE = 'model.initialize(policy="{}")'
METHODS = {
    "add_module": "an attribute that holds the module",
    "apply": "a loop over model.named_modules().values()",
    "cpu": 'model.initialize(device="cpu")',
    "cuda": 'model.initialize(device="cuda")',
    "double": _DTYPE.format("float64"),
    "eval": _NO_SWITCH,
    "float": _DTYPE.format("float32"),
    "half": _DTYPE.format("float16"),
    "modules": "model.named_modules().values()",
    "named_children": "model.children()",
    "parameters": "model.named_parameters().values()",
    "register_parameter": "an attribute that holds a Parameter",
    "requires_grad_": "model.freeze(), or model.unfreeze(),",
    "to": "model.initialize(seed, policy, device)",
    "train": _NO_SWITCH,
    "zero_grad": "model.zero_gradients()",
}
LAYERS = {
    "CrossEntropyLoss": "autograd.functions.cross_entropy",
    "GELU": "autograd.functions.gelu_exact",
    "ModuleDict": "a dict of modules in an attribute",
    "ModuleList": "a list of modules in an attribute",
    "MultiheadAttention": "SelfAttention",
    "ParameterList": "a list of Parameters in an attribute",
    "ReLU": "autograd.functions.relu",
    "SiLU": "autograd.functions.silu",
    "Sequential": "a list of modules in an attribute, called one after the other in forward,",
    "Softmax": "autograd.functions.softmax",
    "TransformerEncoderLayer": "Block",
}


def of_module(name: str) -> str:
    """What is said for a name that modules have elsewhere; nothing for others."""
    return f"a module has no {name}; {METHODS[name]} does it" if name in METHODS else ""


def of_layer(name: str) -> str:
    """What is said for a layer that is not here."""
    ours = LAYERS.get(name)
    return f"there is no {name} in nn" + (f"; {ours} does it" if ours else "")
