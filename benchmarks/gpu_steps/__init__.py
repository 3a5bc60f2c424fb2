"""A training step on the GPU, ours and PyTorch's, on the same model, weights and batches: contestants, check, table."""
