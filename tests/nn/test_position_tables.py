"""Vectors of position ids, and embeddings with a bias."""

import numpy as np
import pytest

from tinygrad_arith.nn import Embedding, SinusoidalPositions, make_position_table


def test_sinusoids_are_those_of_the_paper():
    vectors = SinusoidalPositions(6)(np.array([0, 5]), np.float64).data
    np.testing.assert_allclose(vectors[0], [0, 1, 0, 1, 0, 1])
    wave = 10_000 ** (-2 / 6)
    np.testing.assert_allclose(vectors[1][:4], [np.sin(5), np.cos(5), np.sin(5 * wave), np.cos(5 * wave)])


def test_tables_by_name():
    table = make_position_table("learned", 9, 6, std=0.1)
    assert isinstance(table, Embedding)
    assert table.weight.shape == (9, 6)
    assert isinstance(make_position_table("sinusoidal", 9, 6, std=0.1), SinusoidalPositions)
    assert make_position_table("rotary", 9, 6, std=0.1) is None
    assert make_position_table("none", 9, 6, std=0.1) is None
    with pytest.raises(ValueError, match=r"^no positions 'absolute': they must be one of learned, "):
        make_position_table("absolute", 9, 6, std=0.1)


def test_an_embedding_with_a_bias_is_a_linear_map_of_one_hot_vectors():
    embedding = Embedding(5, 3, bias=True).initialize(seed=1)
    embedding.bias.array[:] = [1.0, 2.0, 3.0]
    ids = np.array([[0, 4, 4]])
    one_hot = np.eye(5, dtype=np.float32)[ids]
    np.testing.assert_allclose(embedding(ids).data, one_hot @ embedding.weight.data + embedding.bias.data, rtol=1e-6)
    assert list(embedding.named_parameters()) == ["weight", "bias"]
    assert not embedding.bias.decay
