import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.eft.expansion import coupling_scale, expand

X = np.array([[-0.6], [0.3], [1.0]])
NET = nnft.network("erf-net", width=10, input_dim=1, bias_std=1.0)


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


def test_a_dimensionless_coupling_is_the_size_beside_the_gaussian_moment():
    """Over one datum y: −24 KKKK(y), and Σ_3 KK written out."""
    action = nnft.Action(["lambda_0", "kappa"], measure=nnft.Empirical([[0.4]]))
    linear = expand(action, NET, X, [1.0, 5.0], (4, 6)).linear
    table, there = NET.propagator(X), NET.propagator(X, np.array([[0.4]]))[:, 0]
    moment = [
        table[a, b] * table[c, d]
        + table[a, c] * table[b, d]
        + table[a, d] * table[b, c]
        for a, b, c, d in entries(3, 4)
    ]
    response = 24 * np.prod(there[entries(3, 4)], axis=1)
    scale = coupling_scale(action, (1.0, 5.0), linear, table)
    np.testing.assert_allclose(scale[:, 0], rms(response) / rms(moment), rtol=1e-12)


def test_an_operator_without_effect_is_named():
    action = nnft.Action(["lambda_0"], measure=nnft.Empirical([[0.4]]))
    linear = expand(action, NET, X, [1.0, 0.2], (4,)).linear
    with pytest.raises(nnft.SpecError, match=r"'lambda_0' has no effect .* cutoff 0.2"):
        coupling_scale(action, (1.0, 0.2), linear, NET.propagator(X))
