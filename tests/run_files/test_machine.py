import tinygrad_arith
from tinygrad_arith.run_files.machine import what_computes


def test_the_bits_of_a_training_hang_on_this_program_too():
    found = what_computes("cpu")
    assert found["tinygrad_arith"] == tinygrad_arith.__version__
    assert found.keys() >= {"device", "numpy"}
