"""Leave-tuple-out against conditionals and refits made by brute force.

The misfit has variance s² in each of n modes, and n s² more along the response of the
action, shared by the directions of p couplings.
"""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.special import logsumexp
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
from nnft_ppl.inference.least_squares import along_response

X = [-1.0, -0.4, 0.0, 0.7]


def make_fit(
    x=X, *, measured=True, bias_std=1.0, discrepancy=True, names=None, prior=None
):
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
        prior=prior,
    )


@pytest.fixture(scope="module")
def fit():
    return make_fit()


def residual_at(fit, which):
    likelihood = fit.likelihood
    expected = likelihood.expected(which, fit.dimensionless[:, :, which])
    return likelihood.amplitudes - expected


def along_at(fit, which):
    return along_response(fit.likelihood, which, fit.centre(which))


def density_at(fit, which, c, s, block):
    """log p(y_B | y_−B, c, s) as a difference of two multivariate normals by SciPy."""
    likelihood = fit.likelihood
    alive = likelihood.size > 0
    rotation, design = likelihood.rotation[alive], likelihood.design[which]
    n, number = design.shape
    along = design @ np.linalg.pinv(design)  # the projector on the response
    covariance = np.diag(likelihood.variance)
    covariance += s**2 * (np.eye(n) + n / number * along)
    covariance = rotation @ covariance @ rotation.T
    y = rotation @ likelihood.amplitudes
    mean = rotation @ (design @ c)
    keep = ~block[alive]
    whole = multivariate_normal(mean, covariance).logpdf(y)
    if not keep.any():
        return whole
    part = multivariate_normal(mean[keep], covariance[np.ix_(keep, keep)])
    return whole - part.logpdf(y[keep])


def brute_force(fit, which, chain, draw, block):
    """The same at one of the fit's own draws."""
    c, s = fit.dimensionless[chain, draw, which], fit.discrepancy[chain, draw, which]
    return density_at(fit, which, c, s, block)


def test_entry_conditionals_are_those_of_the_multivariate_normal(fit):
    assert fit.likelihood.resolved.any()  # correlated noise, not the identity
    density = entry_conditionals(
        fit.likelihood, along_at(fit, 1), residual_at(fit, 1), fit.discrepancy[:, :, 1]
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
        fit.likelihood,
        along_at(fit, 0),
        residual_at(fit, 0),
        fit.discrepancy[:, :, 0],
        block,
    )
    for chain, draw in ((0, 0), (2, 500)):
        assert density[chain, draw] == pytest.approx(
            brute_force(fit, 0, chain, draw, block), abs=1e-6
        )


def test_a_block_of_one_is_an_entry_and_a_block_of_all_is_the_data(fit):
    given = (fit.likelihood, along_at(fit, 0), residual_at(fit, 0))
    s = fit.discrepancy[:, :, 0]
    single = entry_conditionals(*given, s)
    for entry in (0, 17):
        one = block_conditional(*given, s, np.arange(35) == entry)
        np.testing.assert_allclose(one, single[..., entry], atol=1e-6)
    everything = np.ones(35, dtype=bool)
    whole = block_conditional(*given, s, everything)
    for chain, draw in ((0, 0), (3, 999)):
        assert whole[chain, draw] == pytest.approx(
            brute_force(fit, 0, chain, draw, everything), abs=1e-6
        )


def posterior_without(fit, which, block):
    """Closed form of the other entries, their noise diagonalised from scratch."""
    likelihood, prior = fit.likelihood, fit.prior
    width = fit.correlators.network.width
    alive = likelihood.size > 0
    keep = np.flatnonzero(alive & ~block)
    kept = likelihood.rotation[keep]
    noise, basis = np.linalg.eigh(kept @ np.diag(likelihood.noise) @ kept.T)
    rest = dataclasses.replace(
        likelihood,
        rotation=np.eye(len(alive))[:, keep] @ basis,
        amplitudes=basis.T @ (kept @ likelihood.amplitudes),
        noise=np.maximum(noise, 0.0),
        rounding=np.full(len(keep), likelihood.rounding.mean()),
        design=np.einsum("em,cmo->ceo", basis.T @ kept, likelihood.design),
    )
    return solve(
        rest,
        which,
        prior.scales_at(prior.natural_size, width, fit.action),
        prior.discrepancy_scale if fit.has_discrepancy else None,
        prior.size_prior(fit.action),
    )


def refitted(fit, which, blocks):
    """log p(y_B | y_−B) by refits without B, of one coupling.

    The log density is quadratic in the coupling, so that three values give its average
    over a normal posterior.
    """
    found = []
    for block in blocks:
        without = posterior_without(fit, which, block)
        total = []
        for s, mean, factor in zip(
            without.discrepancy, without.mean, without.factor, strict=True
        ):
            low, middle, high = (
                density_at(fit, which, mean + factor[0] * u, s, block)
                for u in (-1.0, 0.0, 1.0)
            )
            slope, curvature = (high - low) / 2, low + high - 2 * middle
            total.append(
                middle + slope**2 / (2 * (1 - curvature)) - np.log(1 - curvature) / 2
            )
        found.append(logsumexp(total, b=without.weight))
    return np.array(found)


FIXED = {"names": ["lambda_0"], "prior": nnft.Prior(spread=0.0)}


@pytest.mark.parametrize("measured", [True, False])
def test_the_estimate_is_that_of_refits(measured):
    fit = make_fit(measured=measured, **FIXED)
    loo = leave_tuple_out(fit, 10.0)
    some = [0, 4, 11, 20, 34]
    expected = refitted(fit, 0, [np.arange(35) == entry for entry in some])
    assert (np.asarray(loo.pareto_k) < 0.7).all()
    np.testing.assert_allclose(np.asarray(loo.elpd_i)[some], expected, atol=0.1)
    assert float(loo.elpd) == pytest.approx(float(loo.elpd_i.sum()))


@pytest.mark.parametrize("discrepancy", [True, False])
def test_leaving_inputs_out_is_a_refit_without_them(discrepancy):
    fit = make_fit(discrepancy=discrepancy, **FIXED)
    loo = leave_tuple_out(fit, 10.0, by="input")
    blocks = [(entries(len(X), 4) == p).any(axis=1) for p in range(len(X))]
    expected = refitted(fit, 0, blocks)
    np.testing.assert_allclose(np.asarray(loo.elpd_i), expected, rtol=1e-6)
    assert float(loo.elpd) == pytest.approx(expected.sum(), rel=1e-6)
    assert float(loo.se) == pytest.approx(2 * np.std(expected), rel=1e-6)
    assert num_high_pareto_k(loo) == 0
    if discrepancy:
        assert float(loo.p) > 0


def test_inputs_are_left_out_with_several_couplings_and_their_size_open(fit):
    """The average over the closed form is that over its draws."""
    block = (entries(len(X), 4) == 2).any(axis=1)
    loo = leave_tuple_out(fit, 10.0, by="input")
    likelihood = fit.likelihood
    without = posterior_without(fit, 0, block)
    couplings, s, _ = without.draw(np.random.default_rng(0), 20_000)
    residual = likelihood.amplitudes - likelihood.expected(0, couplings)
    density = block_conditional(likelihood, along_at(fit, 0), residual, s, block)
    weight = np.exp(density - density.max())
    error = weight.std() / weight.mean() / np.sqrt(len(weight))
    assert error < 0.05
    assert loo.elpd_i[2].item() == pytest.approx(
        logsumexp(density) - np.log(len(density)), abs=4 * error
    )


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
        fit.likelihood, along_at(fit, 0), residual_at(fit, 0), fit.discrepancy[:, :, 0]
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
