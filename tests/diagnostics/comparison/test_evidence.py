"""Nested sampling against the closed form, and quadrature where there is none."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.stats import gamma, halfnorm, norm

import nnft_ppl as nnft
from nnft_ppl.diagnostics.comparison import evidence
from nnft_ppl.diagnostics.comparison.evidence import nested_evidence

X = [-1.0, -0.4, 0.1, 0.7]


def make_fit(names, *, measured, discrepancy=True, prior=None):
    net = nnft.network("erf-net", width=20, input_dim=1, bias_std=1.0)
    data = (
        nnft.measure_correlators(
            net, X, (2, 4), num_draws=50_000, key=jax.random.key(1)
        )
        if measured
        else nnft.exact_correlators(net, X, (2, 4))
    )
    return nnft.fit_couplings(
        data,
        nnft.Action(names),
        [10.0, 100.0],
        key=jax.random.key(0),
        sampler="conjugate",
        discrepancy=discrepancy,
        prior=prior,
    )


@pytest.mark.slow_but("names0-False-True", "names1-True-False")
@pytest.mark.parametrize(
    ("names", "measured", "discrepancy"),
    [
        (["lambda_0"], False, True),
        (["lambda_0"], True, False),
        (["lambda_0", "lambda_2"], True, True),
        (["lambda_0", "lambda_2"], True, False),
        (["lambda_0", "lambda_2", "lambda_nl"], False, True),
        (["lambda_0", "lambda_2", "lambda_nl"], True, False),
    ],
)
def test_nested_sampling_gives_the_closed_form(names, measured, discrepancy):
    fit = make_fit(names, measured=measured, discrepancy=discrepancy)
    found = nested_evidence(fit, 100.0, key=jax.random.key(0))
    assert 0 < found.error < 0.15
    assert abs(found.log_evidence - fit.log_evidence[1]) < 3 * found.error


@pytest.mark.slow
def test_where_the_draws_lie_does_not_matter():
    fit = make_fit(["lambda_0"], measured=True)
    spread = fit.dimensionless.std(axis=(0, 1))
    away = dataclasses.replace(
        fit,
        dimensionless=fit.dimensionless + 4 * spread,
        discrepancy=2 * fit.discrepancy,
    )
    found = nested_evidence(away, 10.0, key=jax.random.key(0), num_live=200)
    assert abs(found.log_evidence - fit.log_evidence[0]) < 3 * found.error


@pytest.mark.slow_but("False-0.01")
@pytest.mark.parametrize(("discrepancy", "share"), [(True, 0.5), (False, 0.01)])
def test_predictions_that_are_not_linear_are_integrated(discrepancy, share):
    """One coupling and a quadratic term, by quadrature.

    Without discrepancy the term moves the posterior by many of its widths already when
    it is small.
    """
    fit = make_fit(
        ["lambda_0"], measured=True, discrepancy=discrepancy, prior=nnft.Prior(spread=0)
    )
    linear = fit.likelihood
    mean = fit.dimensionless[:, :, 0].mean()
    likelihood = dataclasses.replace(
        linear,
        quadratic=share
        * linear.design[..., None]
        * np.cos(np.arange(35))[:, None, None]
        / mean,
    )
    found = nested_evidence(
        dataclasses.replace(fit, likelihood=likelihood), 10.0, key=jax.random.key(3)
    )
    tau = fit.prior.coupling_scales(20, fit.action)[0]
    design, curved = linear.design[0, :, 0], likelihood.quadratic[0, :, 0, 0]
    # The estimate and the misfit's norm, about the mean of the draws.
    response = design + 2 * curved * mean
    weights = response / (response @ response)
    noise, n = linear.noise + linear.rounding, len(design)
    across = np.eye(n) - np.outer(response, weights)
    left = linear.amplitudes - design * mean - curved * mean**2
    norm_left = np.sum((across @ left) ** 2)
    total = np.trace(across @ np.diag(noise) @ across)
    squares = np.sum((across @ np.diag(linear.noise) @ across) ** 2)
    squares += np.trace(across @ np.diag(linear.rounding) @ across) ** 2
    # A smooth misfit has five shapes: the coupling's own and four that the norm counts,
    # so that the density of the data is that of the norm over the surface of a sphere.
    volume = np.linalg.norm(response) * np.pi**2 * norm_left

    def log_density(c, s):
        expected = weights @ (np.outer(design, c) + np.outer(curved, c**2))
        spread = np.sqrt(weights**2 @ noise + n * s**2 / (response @ response))
        power = n * s**2
        variance = 2 * (squares * (1 + 2 * power / total) + power**2 / min(50, n - 1))
        law = gamma((total + power) ** 2 / variance, scale=variance / (total + power))
        return (
            norm.logpdf(weights @ linear.amplitudes, expected, spread)
            + law.logpdf(norm_left)
            - np.log(volume)
            + norm.logpdf(c, scale=tau)
        )

    def log_integral(s):
        """log ∫ dc by the rectangle rule, zoomed in until the peak is resolved."""
        low, high = -40 * abs(mean), 40 * abs(mean)
        while True:
            c = np.linspace(low, high, 1000)
            density = log_density(c, s)
            inside = np.flatnonzero(density > density.max() - 40)
            if len(inside) > 100:
                break
            low, high = c[max(inside[0] - 1, 0)], c[min(inside[-1] + 1, 999)]
        top = density.max()
        return top + np.log(np.exp(density - top).sum() * (c[1] - c[0]))

    if discrepancy:
        s = np.geomspace(0.02, 6.0, 60)
        weights = np.array([log_integral(value) for value in s]) + halfnorm.logpdf(s)
        top = weights.max()
        expected = top + np.log(np.trapezoid(np.exp(weights - top), s))
    else:
        expected = log_integral(0.0)
    assert abs(found.log_evidence - expected) < 3 * found.error


def test_a_missing_library_is_named_with_the_remedy(monkeypatch):
    def refuse(name):
        raise ModuleNotFoundError(name)

    fit = make_fit(["lambda_0"], measured=False)
    monkeypatch.setattr(evidence, "import_module", refuse)
    with pytest.raises(
        nnft.UnavailableError, match=r"pip install 'nnft-ppl\[evidence\]'"
    ):
        nested_evidence(fit, 10.0, key=jax.random.key(0))


def test_an_unknown_cutoff_is_refused():
    fit = make_fit(["lambda_0"], measured=False)
    with pytest.raises(nnft.SpecError, match=r"no cutoff 3\.0; it has"):
        nested_evidence(fit, 3.0, key=jax.random.key(0))
