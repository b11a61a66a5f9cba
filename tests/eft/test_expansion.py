from itertools import combinations

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


def test_six_point_function_of_two_quartic_operators_and_kappa_is_the_explicit_sum():
    """Over four data, ΔS = ⟨(λ_0 + λ_2 |y|²) f⁴ + κ f⁶⟩; the quartic ones as one.

    G6c = ½ Σ_20 24² ⟨⟨v KKK K(y, y') KKK v'⟩⟩ − 720 κ ⟨KKKKKK⟩, v = λ_0 + λ_2 |y|².
    """
    data = np.array([[-0.8], [-0.1], [0.4], [0.9]])
    action = nnft.Action(
        ["lambda_0", "lambda_2", "kappa"], measure=nnft.Empirical(data)
    )
    zero, two, kappa = couplings = np.array([-0.3, 0.7, 0.02])
    there, line = NET.propagator(X, data), NET.propagator(data)
    vertex = (zero + two * data[:, 0] ** 2) / len(data)
    expected = []
    for legs in map(list, entries(3, 6)):
        total = -720 * kappa * np.mean(np.prod(there[legs], axis=0))
        for left in combinations(range(6), 3):
            groups = (left, [leg for leg in range(6) if leg not in left])
            sides = [
                vertex * np.prod(there[[legs[leg] for leg in group]], axis=0)
                for group in groups
            ]
            total += 24**2 / 2 * sides[0] @ line @ sides[1]
        expected.append(total)
    found = expand(action, NET, X, [1.0], (4, 6))
    np.testing.assert_allclose(found.connected(6, 0, couplings), expected, rtol=1e-9)
    four = [-24 * np.prod(there[list(e)], axis=0) @ vertex for e in entries(3, 4)]
    np.testing.assert_allclose(found.connected(4, 0, couplings), four, rtol=1e-9)
