"""Tasks of two operands of digits: how they are written, drawn, split and answered."""
