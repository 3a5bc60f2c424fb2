"""What programs and notebooks use: `tinygrad_arith.fit`, `.Run` and what they give back."""
