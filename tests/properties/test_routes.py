"""Every pair of routes to one number agrees, at random networks and inputs."""

import jax
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracles.effective_theory import tree_integral
from properties.random_cases import NUM_POINTS, exact, few, inputs, networks

import nnft_ppl as nnft
from nnft_ppl.correlators.symmetric import entries, positions
from nnft_ppl.eft.integrals import Integrals
from nnft_ppl.eft.integration.quadrature import Quadrature
from nnft_ppl.eft.operators import operator

Z = 5.0
"""Standard errors: 6·10⁻⁷ a side, for the hundreds of entries compared here."""


def run(examples, property_of, *strategies):
    """Try a property on so many examples."""
    few(examples)(given(*strategies)(property_of))()


def lengths(quick, long):
    """The number of examples, by tier."""
    return pytest.mark.parametrize(
        "examples", [quick, pytest.param(long, marks=pytest.mark.slow)]
    )


@lengths(2, 12)
@pytest.mark.parametrize("estimator", ["conditional", "wick", "moments"])
def test_sampled_correlators_are_the_exact_ones(examples, estimator):
    def holds(net, x, seed):
        truth = exact(net, x)
        found = nnft.measure_correlators(
            net, x, num_draws=20_000, key=jax.random.key(seed), estimator=estimator
        )
        for k in (2, 4):
            off = np.abs(found.connected(k) - truth.connected(k))
            allowed = Z * found.connected_error(k) + found.numerical_error[k]
            allowed = allowed + truth.connected_error(k)
            # Values of tails that the sample has not seen are flagged instead.
            assert ((off <= allowed) | found.heavy_tailed(k)).all()

    run(examples, holds, networks(width=20), inputs(), st.integers(0, 2**31))


@lengths(2, 10)
def test_odd_functions_of_odd_ensembles_vanish(examples):
    def holds(net, x, seed):
        assume("sign" in net.architecture.symmetries)
        draws = nnft.sample_ensemble(net, x, num_draws=20_000, key=jax.random.key(seed))
        f = np.asarray(draws.values[:, :, 0], dtype=np.float64)
        assume(f.any())  # far out a Gauss-net is 0 in float32
        f = f / np.abs(f).max()
        for legs in [(0,), (2,), *entries(NUM_POINTS, 3)]:
            product = f[:, list(legs)].prod(axis=1)
            error = product.std() / np.sqrt(len(f))
            assert abs(product.mean()) <= Z * error

    run(examples, holds, networks(width=20), inputs(), st.integers(0, 2**31))


@lengths(2, 12)
def test_the_recursion_at_depth_one_is_exact(examples):
    def holds(net, x):
        assume(net.hidden_layers() is not None)
        truth, found = exact(net, x), nnft.recursion_correlators(net, x)
        for k in (2, 4):
            off = np.abs(found.connected(k) - truth.connected(k))
            size = np.abs(truth.connected(k)).max()
            allowed = found.numerical_error[k] + truth.connected_error(k)
            assert (off <= 2 * allowed + 1e-12 * size).all()

    names = tuple(n for n, a in nnft.architectures().items() if a.hidden_layers)
    run(examples, holds, networks(names=names), inputs(largest=1))


@pytest.mark.slow
def test_the_recursion_is_what_deep_networks_have_but_for_what_it_leaves_out():
    names = tuple(n for n, a in nnft.architectures().items() if a.hidden_layers)

    def holds(name, depth, width, weight_std, bias_std, x, seed):
        net = nnft.network(
            name,
            width=width,
            input_dim=2,
            depth=depth,
            weight_std=weight_std,
            bias_std=bias_std,
        )
        theory = nnft.recursion_correlators(net, x)
        found = nnft.measure_correlators(
            net, x, num_draws=20_000, key=jax.random.key(seed)
        )
        for k in (2, 4):
            off = np.abs(found.connected(k) - theory.connected(k))
            allowed = Z * found.connected_error(k) + found.numerical_error[k]
            allowed = allowed + theory.connected_error(k)
            assert ((off <= allowed) | found.heavy_tailed(k)).all()

    run(
        8,
        holds,
        st.sampled_from(names),
        st.sampled_from([2, 3]),
        st.sampled_from([10, 30]),
        st.floats(0.8, 2.0),
        st.sampled_from([0.3, 1.0]),
        inputs(input_dim=2, largest=1),
        st.integers(0, 2**31),
    )


@lengths(2, 6)
def test_trees_are_double_integrals(examples):
    def holds(net, cutoff, seed):
        x = np.random.default_rng(seed).uniform(0.2, 1.5, 3)
        tree = Integrals(net, x, [cutoff]).tree(*2 * [operator("lambda_0")])
        expected = tree_integral(
            lambda a, b: net.propagator(np.atleast_1d(a), np.atleast_1d(b)),
            x,
            cutoff,
            weights=2 * [lambda y: np.ones_like(y)],
        )
        gap, size = np.abs(tree.values[0] - expected), np.abs(expected).max()
        assert (gap <= tree.error[0] + 1e-6 * size).all()

    run(
        examples,
        holds,
        networks(bias=False),
        st.floats(1.0, 5.0),
        st.integers(0, 2**31),
    )


@lengths(1, 5)
def test_sobol_points_agree_with_panels(examples):
    """Two inputs in five dimensions: by their plane, or by points in all five."""

    def holds(net, seed):
        x = np.random.default_rng(seed).normal(size=(2, 5))
        squares = lambda nodes: 2 * (nodes.propagator**2,)  # noqa: E731
        panels = Quadrature(net, x, [2.0], nnft.Ball()).pair_sums(squares, "f4")
        sobol = Quadrature(
            net,
            x,
            [2.0],
            nnft.Ball(),
            sources=np.concatenate([x, np.eye(5)[:3]]),
            tolerance=5e-3,
        ).pair_sums(squares, "f4")
        gap = np.abs(sobol.values[0, :2, :2] - panels.values[0])
        assert (gap <= sobol.error[0, :2, :2] + panels.error[0]).all()

    run(examples, holds, networks(input_dim=5, bias=False), st.integers(0, 2**31))


@pytest.mark.slow
def test_the_closed_form_posterior_is_what_nuts_samples():
    def holds(net, x, seed):
        data = exact(net, x)
        assume((data.connected_error(4) < 1e-3 * np.abs(data.connected(4))).all())
        fits = [
            nnft.fit_couplings(
                data,
                nnft.Action(["lambda_nl"]),
                [2.0 * np.abs(x).max()],
                key=jax.random.key(seed),
                num_samples=1000,
                sampler=sampler,
            )
            for sampler in ("conjugate", "nuts")
        ]
        draws = [fit.dimensionless[..., 0, 0] for fit in fits]
        error = np.hypot(*(d.std() / np.sqrt(500) for d in draws))
        assert abs(draws[0].mean() - draws[1].mean()) <= Z * error
        assert draws[1].std() == pytest.approx(draws[0].std(), rel=0.35)

    run(4, holds, networks(width=20), inputs(largest=0), st.integers(0, 2**31))


def test_moments_are_made_of_cumulants():
    """E f_a f_b f_c f_d of the exact correlators, against the average of products."""

    def holds(net, x, seed):
        truth = exact(net, x)
        values = nnft.sample_ensemble(
            net, x, num_draws=20_000, key=jax.random.key(seed)
        ).values
        f = np.asarray(values[:, :, 0], dtype=np.float64)
        size = np.abs(f).max(axis=0)
        product = (f / size)[:, [0, 0, 1, 2]].prod(axis=1)
        at = positions(NUM_POINTS, np.array([0, 0, 1, 2]))
        expected = truth.moment(4)[at] / size[[0, 0, 1, 2]].prod()
        error = product.std() / np.sqrt(len(f))
        # Four effective networks are no average.
        assume(np.abs(product).max() < 0.02 * np.abs(product).sum())
        assert abs(product.mean() - expected) <= Z * error

    run(3, holds, networks(width=20), inputs(), st.integers(0, 2**31))
