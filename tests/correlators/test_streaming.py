"""Cutting the work: what is left over at the end counts like the rest."""

import jax
import numpy as np
import pytest

import nnft_ppl as nnft

BLOCK = 1 << 17


@pytest.mark.parametrize("rest", [1, 700])
def test_a_last_block_shorter_than_a_batch_counts(rest):
    """The mean over exactly the networks asked for, from the networks themselves."""
    network = nnft.network("erf-net", width=1, input_dim=1, bias_std=1.0)
    points, key = [-1.0, 0.4], jax.random.key(0)
    options = {"key": key, "generator": "jax"}
    found = nnft.measure_correlators(
        network, points, (2,), num_draws=BLOCK + rest, estimator="moments", **options
    )
    drawn = nnft.sample_ensemble(network, points, BLOCK + rest, **options)
    field = drawn.values[:, :, 0].astype(np.float64)
    products = field[:, [0, 0, 1]] * field[:, [0, 1, 1]]
    # Float32 means of a few hundred and float32 products: a few times 2⁻²⁴.
    np.testing.assert_allclose(found.moment(2), products.mean(axis=0), rtol=1e-6)
    error = products.std(axis=0, ddof=1) / len(products) ** 0.5
    # From some 8,000 batch means: their variance is good to √(2/8000), 1.6 %.
    np.testing.assert_allclose(found.error(2), error, rtol=0.05)
