"""Leave-tuple-out against conditionals and refits made by brute force."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.stats import multivariate_normal

import nnft_ppl as nnft
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.diagnostics.comparison.leave_out import (
    block_conditional,
    entry_conditionals,
    leave_tuple_out,
    num_high_pareto_k,
)
from nnft_ppl.inference.couplings.conjugate import solve

X = [-1.0, -0.4, 0.0, 0.7]


def make_fit(x=X, *, measured=True, bias_std=1.0, discrepancy=True, names=None):
    net = nnft.network("erf-net", width=20, input_dim=1, bias_std=bias_std)
    data = (
        nnft.measure_correlators(
            net, x, (2, 4), num_draws=50_000, key=jax.random.key(3)
        )
        if measured
        else nnft.exact_correlators(net, x, (2, 4))
    )
    return nnft.fit_couplings(
        data,
        nnft.Action(names or ["lambda_0", "lambda_2"]),
        [10.0, 100.0],
        key=jax.random.key(0),
        sampler="conjugate",
        discrepancy=discrepancy,
    )


@pytest.fixture(scope="module")
def fit():
    return make_fit()


def residual_at(fit, which):
    likelihood = fit.likelihood
    expected = likelihood.expected(which, fit.dimensionless[:, :, which])
    return likelihood.amplitudes - expected


def brute_force(fit, which, chain, draw, block):
    """log p(y_B | y_−B, θ) as a difference of two multivariate normals by SciPy."""
    likelihood = fit.likelihood
    alive = likelihood.size > 0
    rotation = likelihood.rotation[alive]
    s = fit.discrepancy[chain, draw, which]
    covariance = rotation @ np.diag(likelihood.variance + s**2) @ rotation.T
    y = rotation @ likelihood.amplitudes
    c = fit.dimensionless[chain, draw, which]
    mean = rotation @ (likelihood.design[which] @ c)
    keep = ~block[alive]
    whole = multivariate_normal(mean, covariance).logpdf(y)
    if not keep.any():
        return whole
    part = multivariate_normal(mean[keep], covariance[np.ix_(keep, keep)])
    return whole - part.logpdf(y[keep])


def test_entry_conditionals_are_those_of_the_multivariate_normal(fit):
    assert fit.likelihood.resolved.any()  # correlated noise, not the identity
    density = entry_conditionals(
        fit.likelihood, residual_at(fit, 1), fit.discrepancy[:, :, 1]
    )
    for chain, draw in ((0, 0), (1, 7), (3, 999)):
        for entry in (0, 5, 34):
            block = np.arange(35) == entry
            assert density[chain, draw, entry] == pytest.approx(
                brute_force(fit, 1, chain, draw, block), abs=1e-6
            )


@pytest.mark.parametrize("point", [0, 2])
def test_block_conditionals_are_those_of_the_multivariate_normal(fit, point):
    block = (entries(len(X), 4) == point).any(axis=1)
    density = block_conditional(
        fit.likelihood, residual_at(fit, 0), fit.discrepancy[:, :, 0], block
    )
    for chain, draw in ((0, 0), (2, 500)):
        assert density[chain, draw] == pytest.approx(
            brute_force(fit, 0, chain, draw, block), abs=1e-6
        )


def test_a_block_of_one_is_an_entry_and_a_block_of_all_is_the_data(fit):
    residual, s = residual_at(fit, 0), fit.discrepancy[:, :, 0]
    single = entry_conditionals(fit.likelihood, residual, s)
    for entry in (0, 17):
        one = block_conditional(fit.likelihood, residual, s, np.arange(35) == entry)
        np.testing.assert_allclose(one, single[..., entry], atol=1e-6)
    whole = block_conditional(fit.likelihood, residual, s, np.ones(35, dtype=bool))
    pointwise = fit.at(10.0)["log_likelihood"]["amplitude"].to_numpy()
    np.testing.assert_allclose(whole, pointwise.sum(axis=-1), rtol=1e-10)


def exact_elpd(fit, which, blocks):
    """Σ_B log p(y_B | y_−B), couplings and s integrated out, by refits without B.

    p(y_B | y_−B) is a ratio of evidences; the covariance is formed from scratch.
    """
    likelihood = fit.likelihood
    prior, width = fit.prior, fit.correlators.network.width
    scales = prior.scales_at(prior.natural_size, width, fit.action)
    alive = likelihood.size > 0
    rotation = likelihood.rotation[alive]
    covariance = rotation @ np.diag(likelihood.variance) @ rotation.T
    y = rotation @ likelihood.amplitudes
    design = np.einsum("em,cmo->ceo", rotation, likelihood.design)
    out = []
    for block in blocks:
        keep = ~block[alive]
        variance, basis = np.linalg.eigh(covariance[np.ix_(keep, keep)])
        rest = dataclasses.replace(
            likelihood,
            amplitudes=basis.T @ y[keep],
            variance=variance,
            design=np.einsum("em,ceo->cmo", basis, design[:, keep]),
        )
        scale = prior.discrepancy_scale if fit.has_discrepancy else None
        without = solve(rest, which, scales, scale, prior.size_prior(fit.action))
        out.append(fit.log_evidence[which] - without.log_evidence)
    return np.array(out)


@pytest.mark.parametrize("measured", [True, False])
def test_the_estimate_is_that_of_exact_refits(measured):
    fit = make_fit(measured=measured)
    loo = leave_tuple_out(fit, 10.0)
    exact = exact_elpd(fit, 0, [np.arange(35) == e for e in range(35)])
    # 4000 independent draws estimate log E[1/p] of each entry to about √(var/4000),
    # where var = e^(spread² of log p) − 1 is about 4 at the worst entry: 0.03.
    good = np.asarray(loo.pareto_k) < 0.7
    assert good.sum() >= 34
    np.testing.assert_allclose(np.asarray(loo.elpd_i)[good], exact[good], atol=0.15)
    assert float(loo.elpd) == pytest.approx(exact.sum(), abs=0.3)
    assert abs(float(loo.elpd) - exact.sum()) < 0.1 * float(loo.se)


@pytest.mark.parametrize("discrepancy", [True, False])
def test_leaving_inputs_out_is_a_refit_without_them(discrepancy):
    fit = make_fit(discrepancy=discrepancy)
    loo = leave_tuple_out(fit, 10.0, by="input")
    blocks = [(entries(len(X), 4) == p).any(axis=1) for p in range(len(X))]
    exact = exact_elpd(fit, 0, blocks)
    np.testing.assert_allclose(np.asarray(loo.elpd_i), exact, rtol=1e-6)
    assert float(loo.elpd) == pytest.approx(exact.sum(), rel=1e-6)
    assert float(loo.se) == pytest.approx(2 * np.std(exact), rel=1e-6)
    assert num_high_pareto_k(loo) == 0
    assert float(loo.p) > 0


def test_importance_sampling_agrees_with_refits_without_an_input_that_says_little():
    """PSIS over blocks, as used where no closed form is: right where k is small."""
    fit = make_fit(names=["lambda_0"])
    quadratic = np.zeros((2, 35, 1, 1))  # the same numbers, but no closed form
    likelihood = dataclasses.replace(fit.likelihood, quadratic=quadratic)
    sampled = leave_tuple_out(
        dataclasses.replace(fit, likelihood=likelihood), 10.0, by="input"
    )
    exact = np.asarray(leave_tuple_out(fit, 10.0, by="input").elpd_i)
    last = np.asarray(sampled.elpd_i)[-1]
    assert np.asarray(sampled.pareto_k)[-1] < 0.7
    assert last == pytest.approx(exact[-1], abs=0.3)


def test_entries_where_the_field_vanishes_are_left_out():
    fit = make_fit([0.0, 0.5, 1.0], measured=False, bias_std=0.0)
    assert not (fit.likelihood.size > 0).all()
    loo = leave_tuple_out(fit, 10.0)
    assert list(loo.elpd_i["legs"].values) == [
        "1-1-1-1",
        "1-1-1-2",
        "1-1-2-2",
        "1-2-2-2",
        "2-2-2-2",
    ]
    by_input = leave_tuple_out(fit, 10.0, by="input")
    assert list(by_input.elpd_i["point"].values) == [1, 2]


def test_fixed_discrepancy_uses_the_noise_alone():
    fit = make_fit(discrepancy=False)
    density = entry_conditionals(
        fit.likelihood, residual_at(fit, 0), fit.discrepancy[:, :, 0]
    )
    block = np.arange(35) == 3
    assert density[0, 0, 3] == pytest.approx(brute_force(fit, 0, 0, 0, block), rel=1e-4)
    assert np.isfinite(float(leave_tuple_out(fit, 10.0).elpd))


def test_high_pareto_k_are_counted(fit):
    loo = leave_tuple_out(fit, 10.0)
    loo = dataclasses.replace(loo, pareto_k=loo.pareto_k + 0.3)
    by_hand = sum(k > loo.good_k for k in np.ravel(loo.pareto_k))
    assert num_high_pareto_k(loo) == by_hand > 0


def test_bad_arguments_are_refused(fit):
    with pytest.raises(nnft.SpecError, match=r"no cutoff 3\.0; it has"):
        leave_tuple_out(fit, 3.0)
    with pytest.raises(nnft.SpecError, match="`by` is 'network'; choose one of"):
        leave_tuple_out(fit, 10.0, by="network")
    with pytest.raises(nnft.SpecError, match="expected what fit_couplings returns"):
        leave_tuple_out(3, 10.0)
