"""Attention on the GPU, ours and PyTorch's, on the same numbers: contestants, their check, their times, the tables."""
