"""What people look for on modules under the names of other libraries, and what does it here."""

_NO_SWITCH = "a dropout_key turns dropout on for one call, and without one it is off: nothing else"
_PLACED = "ta.load(run, {0}), and of a new model, whose weights are drawn, model.initialize({0}),"
_LOADED = 'ta.load(run, dtype="{0}"), and of a new model, whose weights are drawn, model.initialize(policy="{0}"),'
METHODS = {
    "add_module": "an attribute that holds the module",
    "apply": "a loop over model.named_modules().values()",
    "compile": "nothing is needed: ta.fit trains, or a loop of your own,",
    "cpu": _PLACED.format('device="cpu"'),
    "cuda": _PLACED.format('device="cuda"'),
    "double": _LOADED.format("float64"),
    "eval": _NO_SWITCH,
    "fit": "ta.fit, or a loop of your own,",
    "float": _LOADED.format("float32"),
    "generate": "ta.generation.generate(model, ids, count)",
    "half": 'of a new model model.initialize(policy="float16")',
    "load": "ta.load(directory)",
    "modules": "model.named_modules().values()",
    "named_children": "model.children()",
    "parameters": "model.named_parameters().values()",
    "predict": "model(ids), whose logits' argmax(-1) it is, or run.answer(problem),",
    "register_parameter": "an attribute that holds a Parameter",
    "requires_grad_": "model.freeze(), or model.unfreeze(),",
    "save": "ta.save(model, directory)",
    "score": "task.evaluate(model, 'test')",
    "summary": "print(model)",
    "to": "ta.load(run, device=..., dtype=...), and of a new model, whose weights are drawn, model.initialize(...),",
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
