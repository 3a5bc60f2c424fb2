"""What a collapse is, how often one looks for it, and which trainings are compared."""

REACHED, COLLAPSED = 0.99, 0.9  # exact match: learned; lost again
EVALUATE_EVERY, RECORD_EVERY = 50, 10  # steps between two evaluations, and between two rows of a record
LOOKED_AT = (-20, 10)  # steps from the onset of a collapse that a replay looks at one by one
VARIANTS: dict[str, dict[str, dict]] = {  # what is changed of which section of the preset
    "verbatim": {},
    "no decay": {"optimizer": {"weight_decay": 0.0}},
    "warm-up 500": {"optimizer": {"warmup": 500}},
    "rate 3e-4": {"optimizer": {"learning_rate": 3e-4}},
    "eps 1e-6": {"optimizer": {"eps": 1e-6}},
    "eps 1e-4": {"optimizer": {"eps": 1e-4}},
    "pre-norm": {"model": {"norm": "pre"}},
    "loss on answers": {"task": {"loss": "answer"}},
    "clip 1": {"optimizer": {"clip": 1.0}},
    "clip 0.1": {"optimizer": {"clip": 0.1}},
    "beta2 0.99": {"optimizer": {"beta2": 0.99}},
    "beta2 0.95": {"optimizer": {"beta2": 0.95}},
    "cosine": {"optimizer": {"schedule": "cosine"}},
    "cosine, beta2 0.95, clip 1": {"optimizer": {"schedule": "cosine", "beta2": 0.95, "clip": 1.0}},
}
