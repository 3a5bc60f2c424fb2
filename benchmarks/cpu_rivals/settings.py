"""What all contestants share: the optimizer's numbers and the seeds."""

LEARNING_RATE = 1e-3
BETAS = (0.9, 0.95)
EPS = 1e-8
WEIGHT_DECAY = 0.1  # of matrices; none on biases and norms
CLIP = 1.0  # largest norm of the whole gradient
LAYERNORM_EPS = 1e-5
SEED = 1
BATCHES = 8  # made beforehand, taken in turns
WARM_UP_STEPS = 3
