"""Second-order trees against double integrals and where they are known by hand."""

import numpy as np
import pytest
from oracles.effective_theory import all_pairings, tree_integral

from nnft_ppl import network
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.eft.integrals import Integrals
from nnft_ppl.eft.measures import Empirical
from nnft_ppl.eft.operators import operator

X = np.array([0.2, 0.7, 1.2])
CUTOFFS = [1.5, 40.0]


def kernel_of(net):
    return lambda a, b: net.propagator(np.atleast_1d(a), np.atleast_1d(b))


@pytest.mark.slow_but(
    "lambda_0-lambda_0-gauss-net-1.0-1e-06",
    "lambda_0-lambda_2-erf-net-1.0-1e-06",
    "lambda_0-lambda_2-gauss-net-1.0-1e-06",
)
@pytest.mark.parametrize(
    ("name", "bias_std", "tolerance"),
    [("erf-net", 1.0, 1e-6), ("relu-net", 1.0, 1e-6), ("gauss-net", 1.0, 1e-6)],
)
@pytest.mark.parametrize(
    ("first", "second"), [("lambda_0", "lambda_0"), ("lambda_0", "lambda_2")]
)
def test_local_trees_are_double_integrals(name, bias_std, tolerance, first, second):
    net = network(name, width=10, input_dim=1, bias_std=bias_std)
    tree = Integrals(net, X, CUTOFFS).tree(operator(first), operator(second))
    power = {"lambda_0": 0, "lambda_2": 2}
    for row, cutoff in enumerate(CUTOFFS):
        exact = tree_integral(
            kernel_of(net),
            X,
            cutoff,
            weights=[lambda y, p=power[n]: np.abs(y) ** p for n in (first, second)],
        )
        gap = np.abs(tree.values[row] - exact)
        assert gap.max() <= tolerance * np.abs(exact).max()
        assert (gap <= tree.error[row] + 1e-9 * np.abs(exact).max()).all()


def test_trees_of_a_rank_one_kernel_are_products_of_vertices():
    """ReLU-net without bias, x > 0: K(x, y) = x y/2 for y > 0 and 0 below.

    G6c ∋ 576 λ² · 10 · (Λ⁵/5)² Π x / 2⁷, from the integrals by hand.
    """
    net = network("relu-net", width=10, input_dim=1, bias_std=0.0)
    cutoff = 5.0
    tree = Integrals(net, X, [cutoff]).tree(operator("lambda_0"), operator("lambda_0"))
    inputs = np.prod(X[entries(len(X), 6)], axis=1)
    vertex = cutoff**5 / 5
    np.testing.assert_allclose(
        tree.values[0], 5760 * vertex**2 * inputs / 2**7, rtol=1e-9
    )


def test_trees_of_quadratic_forms_are_products_of_propagators():
    """(S_GP)² joins legs in pairs; a tree of two of them chains two pairs into one.

    V(abc; z) = −2 Σ_3 K_ab K_cz, so T = ½ Σ_20 V V with K_cz K_zd → K_cd.
    """
    net = network("erf-net", width=10, input_dim=1, bias_std=1.0)
    form = operator("quadratic_squared")
    tree = Integrals(net, X, [3.0]).tree(form, form)
    table = net.propagator(X)
    expected = []
    for legs in entries(len(X), 6):
        total = 0.0
        for pairing in all_pairings(list(range(6))):
            # Each pairing is met for every choice of its pair that spans the vertices,
            # of the ways round that pair, and of the vertex of the first other pair.
            total += 3 * 2 * 2 * np.prod([table[legs[a], legs[b]] for a, b in pairing])
        expected.append(4 * total / 2)
    np.testing.assert_allclose(tree.values[0], expected, rtol=1e-9)


@pytest.mark.slow
def test_bilocal_trees_agree_with_the_local_ones_where_they_must():
    """With one node the two operators differ by its weight: measure of one point."""
    net = network("erf-net", width=10, input_dim=1, bias_std=1.0)
    integrals = Integrals(net, X, [np.inf], Empirical([[0.9]]))
    local = integrals.tree(operator("lambda_0"), operator("lambda_0"))
    bilocal = integrals.tree(operator("lambda_0"), operator("lambda_nl"))
    np.testing.assert_allclose(bilocal.values, local.values, rtol=1e-9)
