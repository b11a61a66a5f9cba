"""Correlators over legs (input, output) of networks with several outputs."""

from functools import cache

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.deviation import mean_deviation
from nnft_ppl.correlators.symmetric import entries, positions
from nnft_ppl.inference.likelihood import build_likelihood

X = np.array([-0.7, 1.2])


def erf_net(output_dim, width=4):
    return nnft.network(
        "erf-net", width=width, input_dim=1, bias_std=0.8, output_dim=output_dim
    )


@cache
def exact(output_dim, orders=(2, 4, 6)):
    return nnft.exact_correlators(erf_net(output_dim), X, orders)


@cache
def measured(estimator, output_dim=2, orders=(2, 4, 6)):
    return nnft.measure_correlators(
        erf_net(output_dim),
        X,
        orders,
        num_draws=60_000,
        key=jax.random.key(7),
        estimator=estimator,
    )


def outputs_of(correlators, order):
    return correlators.legs[correlators.entries(order)][:, :, 1]


def test_a_leg_is_a_point_and_an_output():
    correlators = exact(2)
    assert correlators.num_legs == 4
    assert correlators.legs.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert len(correlators.connected(4)) == len(entries(4, 4)) == 35
    assert exact(1).legs.tolist() == [[0, 0], [1, 0]]


@pytest.mark.slow_but(
    "2-conditional",
    "2-moments",
    "4-conditional",
    "4-moments",
    "4-wick",
    "6-conditional",
    "6-moments",
    "6-wick",
)
@pytest.mark.parametrize("estimator", ["conditional", "wick", "moments"])
@pytest.mark.parametrize("order", [2, 4, 6])
def test_every_estimator_agrees_with_the_exact_cumulants(estimator, order):
    found, true = measured(estimator), exact(2)
    error = found.connected_error(order)
    gap = found.connected(order) - true.connected(order)
    assert (np.abs(gap) <= 4.5 * error).all()
    gap = found.moment(order) - true.moment(order)
    assert (np.abs(gap) <= 4.5 * found.error(order)).all()


def test_entries_with_an_unpaired_output_vanish():
    for correlators in (exact(2), measured("conditional")):
        for order in (2, 4, 6):
            unpaired = outputs_of(correlators, order).sum(axis=1) % 2 == 1
            assert unpaired.any()
            assert not correlators.connected(order)[unpaired].any()
            assert not correlators.connected_error(order)[unpaired].any()
            assert not correlators.heavy_tailed(order)[unpaired].any()
            assert correlators.connected(order)[~unpaired].all()


def test_two_outputs_share_the_covariance_of_the_random_kernel():
    """G4c(x₁i x₂i x₃j x₄j) = Cov(K̂₁₂, K̂₃₄), by sampling in NumPy."""
    rng = np.random.default_rng(3)
    num_draws, width = 200_000, 4
    z = rng.normal(size=(num_draws, width, 1)) * X
    z = np.maximum(z, 0)
    kernel = np.einsum("mjx,mjy->mxy", z, z) / width
    centred = kernel - kernel.mean(axis=0)
    net = nnft.network("relu-net", width=width, input_dim=1, output_dim=2)
    found = nnft.exact_correlators(net, X)
    for a, b, c, d in ((0, 0, 0, 0), (0, 0, 1, 1), (1, 1, 1, 1)):
        legs = np.array([2 * a, 2 * b, 2 * c + 1, 2 * d + 1])
        products = centred[:, a, b] * centred[:, c, d]
        value = found.connected(4)[positions(4, legs)]
        error = products.std() / num_draws**0.5
        assert abs(value - products.mean()) < 4 * error
        assert error < 0.1 * max(abs(value), 0.05)


def test_one_output_of_several_is_that_of_a_network_with_no_other():
    one, both = exact(1), exact(2)
    for output in (0, 1):
        part = both.for_output(output)
        assert part.network == one.network
        for order in (2, 4, 6):
            np.testing.assert_allclose(
                part.connected(order), one.connected(order), rtol=1e-13
            )
    # The hidden layer is sampled first, so that the random kernels are the same.
    one, both = measured("conditional", 1), measured("conditional").for_output(1)
    for order in (2, 4, 6):
        np.testing.assert_allclose(
            both.connected(order), one.connected(order), rtol=1e-4
        )
        np.testing.assert_allclose(both.error(order), one.error(order), rtol=1e-3)
        assert (both.effective_batches[order] > 0).all()
    with pytest.raises(nnft.SpecError, match="`output` is 2; expected a whole number"):
        exact(2).for_output(2)


def test_outputs_of_any_law_of_the_weights():
    net = nnft.network(
        "mlp",
        width=5,
        input_dim=1,
        output_dim=2,
        depth=1,
        activation="tanh",
        weight_law="laplace",
    )
    true = nnft.exact_correlators(net, X, (2, 4))
    for estimator in ("conditional", "wick"):
        found = nnft.measure_correlators(
            net,
            X,
            (2, 4),
            num_draws=60_000,
            key=jax.random.key(0),
            estimator=estimator,
        )
        gap = found.connected(4) - true.connected(4)
        assert (np.abs(gap) <= 4.5 * found.connected_error(4)).all()
    mixed = outputs_of(true, 4).sum(axis=1) == 2
    assert (found.connected_error(4)[mixed] < 0.5 * true.connected(4).max()).all()


@pytest.mark.slow
def test_deep_nets_have_outputs_too():
    net = nnft.network("mlp", width=4, input_dim=1, output_dim=2, bias_std=0.5)
    conditional, wick = (
        nnft.measure_correlators(
            net,
            X,
            (2, 4),
            num_draws=60_000,
            key=jax.random.key(seed),
            estimator=estimator,
        )
        for seed, estimator in enumerate(("auto", "wick"))
    )
    for order in (2, 4):
        error = np.hypot(
            conditional.connected_error(order), wick.connected_error(order)
        )
        gap = conditional.connected(order) - wick.connected(order)
        assert (np.abs(gap) <= 4.5 * error).all()


def test_the_gaussian_process_has_independent_outputs():
    correlators = exact(2)
    kernel = erf_net(2).kernel(X)
    legs = correlators.legs[correlators.entries(4)]

    def pair(a, b):
        same = legs[:, a, 1] == legs[:, b, 1]
        return same * kernel[legs[:, a, 0], legs[:, b, 0]]

    true = pair(0, 1) * pair(2, 3) + pair(0, 2) * pair(1, 3) + pair(0, 3) * pair(1, 2)
    np.testing.assert_allclose(correlators.gaussian_moment(4), true, rtol=1e-14)
    there = true != 0
    expected = np.mean(np.abs(correlators.connected(4)[there] / true[there]))
    assert mean_deviation(correlators, 4).value == pytest.approx(expected, rel=1e-9)


def test_several_outputs_survive_the_file(tmp_path):
    for correlators in (exact(2), measured("conditional")):
        path = tmp_path / f"{correlators.estimator}.nc"
        correlators.save(path)
        back = nnft.load(path)
        assert back.network == correlators.network
        for order in (2, 4, 6):
            assert (back.connected(order) == correlators.connected(order)).all()
            assert (back.error(order) == correlators.error(order)).all()
        assert (back.data["legs"].values == correlators.legs).all()


def test_files_of_one_output_from_before_legs_still_load():
    tree = exact(1).data
    tree = tree.assign(tree.to_dataset(inherit=False).drop_vars("legs"))
    del tree["legs"]
    back = Correlators.from_data(tree)
    assert (back.connected(4) == exact(1).connected(4)).all()
    assert back.num_legs == 2


def test_couplings_are_refused_several_outputs_at_the_border():
    action = nnft.Action(["lambda_0"])
    with pytest.raises(nnft.SpecError, match=r"of 2 outputs; .*for_output\(0\)"):
        build_likelihood(exact(2), action, (10.0,))
    with pytest.raises(nnft.SpecError, match="couplings are fitted to one output"):
        nnft.fit_couplings(exact(2), action, [10.0], key=jax.random.key(0))
    assert len(build_likelihood(exact(2).for_output(0), action, (10.0,)).spans) == 1
