"""NUTS against the closed form and brute force, on small problems side by side."""

import arviz as az
import jax
import numpy as np
import pytest
from numpyro.handlers import substitute, trace
from numpyro.infer.util import log_density
from scipy import stats
from small_problem import small_problem

import nnft_ppl as nnft
from nnft_ppl.inference.couplings import conjugate
from nnft_ppl.inference.couplings.conjugate import solve
from nnft_ppl.inference.couplings.model import correlator_model
from nnft_ppl.inference.couplings.nuts import problem_at, run_nuts
from nnft_ppl.inference.least_squares import estimate_factors, least_squares, misfit_law
from nnft_ppl.inference.mcmc.sampling import Sampling

WIDTH = 20
ACTION = nnft.Action(["lambda_0", "kappa"])
RNG = np.random.default_rng(11)
DESIGN = RNG.normal(size=(8, 2))
NOISE = RNG.normal(size=8)


def closed_form(likelihood, prior, discrepancy):
    return solve(
        likelihood,
        0,
        prior.scales_at(prior.natural_size, WIDTH, ACTION),
        prior.discrepancy_scale if discrepancy else None,
        prior.size_prior(ACTION),
    )


def sample(likelihoods, prior, discrepancy, num_samples):
    forms = [closed_form(each, prior, discrepancy) for each in likelihoods]
    out = run_nuts(
        [
            problem_at(each, 0, prior, WIDTH, ACTION, form)
            for each, form in zip(likelihoods, forms, strict=True)
        ],
        discrepancy=discrepancy,
        hierarchical=prior.is_hierarchical,
        key=jax.random.key(2),
        sampling=Sampling(500, num_samples, 4),
    )
    return forms, out


def assert_same(draws, mean, sd):
    """Mean within 4 Monte Carlo errors, standard deviation within 4 of its own."""
    ess = float(az.ess(draws))
    assert ess > 1000
    assert abs(draws.mean() - mean) < 4 * sd / np.sqrt(ess)
    kurtosis = max(float(stats.kurtosis(draws, axis=None)), 0)
    assert draws.std() == pytest.approx(sd, rel=4 * np.sqrt((2 + kurtosis) / ess) / 2)


CASES = {
    # Couplings to 10⁻⁹ of themselves.
    "exact": (DESIGN, DESIGN @ [0.3, -2.0], 1e-18),
    "measured": (DESIGN, DESIGN @ [0.3, -2.0] + 0.1 * NOISE, 0.01),
    # The data say next to nothing: couplings and their size are a funnel.
    "noisy": (DESIGN, 40 * NOISE, 1600.0),
    # Only the sum of both is determined.
    "alike": (
        DESIGN[:, :1] + np.array([0.0, 1e-5]) * DESIGN,
        DESIGN[:, 0] + 0.1 * NOISE,
        0.01,
    ),
    # Far above the prior's size.
    "large": (DESIGN, DESIGN @ [100.0, 2000.0] + 0.1 * NOISE, 0.01),
}


@pytest.mark.slow
@pytest.mark.parametrize("discrepancy", [True, False])
def test_couplings_size_and_discrepancy_are_those_of_the_closed_form(discrepancy):
    problems = [small_problem(*case) for case in CASES.values()]
    draws_per_chain = 1500 if discrepancy else 800
    forms, out = sample(problems, nnft.Prior(), discrepancy, draws_per_chain)
    assert out["diverging"].sum() == 0
    for which, form in enumerate(forms):
        mean, sd = form.moments()
        for operator in range(2):
            assert_same(
                out["dimensionless"][:, :, which, operator],
                mean[operator],
                sd[operator],
            )
        values = {"natural_size": 30.0 * form.relative_size}
        if discrepancy:
            values["discrepancy"] = form.discrepancy
        for name, grid in values.items():
            logs = np.log(grid)
            centre = form.weight @ logs
            spread = np.sqrt(form.weight @ (logs - centre) ** 2)
            assert_same(np.log(out[name][:, :, which]), centre, spread)


QUADRATIC = 0.6 * RNG.normal(size=(8, 2, 2))
QUADRATIC = (QUADRATIC + QUADRATIC.transpose(0, 2, 1)) / 2
TRUE = np.array([0.8, -0.5])


def quadratic_problem(noise):
    likelihood = small_problem(DESIGN, np.zeros(8), noise**2, QUADRATIC)
    data = likelihood.expected(0, TRUE) + noise * NOISE
    return small_problem(DESIGN, data, noise**2, QUADRATIC)


def brute_force(likelihood, prior, centre, middle, width):
    """Mean, deviation and evidence on a grid in two couplings, size fixed, s = 0.

    White noise v: least squares about `centre` leave a norm that is v χ² of 6, and
    three of the five shapes that an evidence counts.
    """
    axes = [c + width * np.linspace(-1, 1, 801) for c in middle]
    one, two = np.meshgrid(*axes, indexing="ij")
    scales = (prior.natural_size / WIDTH) ** np.array([1.0, 2.0])
    log_density = stats.norm.logpdf(one, 0, scales[0])
    log_density += stats.norm.logpdf(two, 0, scales[1])

    def left(one, two):
        """Data less what couplings predict, (mode, …)."""
        return np.stack(
            [
                datum
                - row[0] * one
                - row[1] * two
                - square[0, 0] * one**2
                - 2 * square[0, 1] * one * two
                - square[1, 1] * two**2
                for row, square, datum in zip(
                    DESIGN, QUADRATIC, likelihood.amplitudes, strict=True
                )
            ]
        )

    tangent = DESIGN + 2 * QUADRATIC @ centre
    pseudo = np.linalg.pinv(tangent)
    variance = likelihood.noise[0]
    law = stats.multivariate_normal(np.zeros(2), variance * pseudo @ pseudo.T)
    log_density += law.logpdf(
        np.moveaxis(np.tensordot(pseudo, left(one, two), 1), 0, -1)
    )
    about = left(*centre)
    norm = np.sum((about - tangent @ (pseudo @ about)) ** 2)
    log_density += stats.chi2(6).logpdf(norm / variance) - np.log(variance)
    area = np.sqrt(np.linalg.det(tangent.T @ tangent))
    log_density -= np.log(area * 2 * np.pi * np.sqrt(norm))  # π^1.5 / Γ(1.5) = 2π
    top = log_density.max()
    weight = np.exp(log_density - top)
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    total = weight.sum()
    mean = np.array([(weight * c).sum() for c in (one, two)]) / total
    second = np.array([(weight * c**2).sum() for c in (one, two)]) / total
    return mean, np.sqrt(second - mean**2), top + np.log(total * cell)


def test_what_is_sampled_is_prior_times_likelihood_of_quadratic_predictions():
    """At points far from the closed form: couplings, their size and s written out.

    Coordinates are linear in the couplings, whose density gains the determinant.
    """
    prior, likelihood = (
        nnft.Prior(natural_size=20.0, spread=0.7),
        quadratic_problem(0.6),
    )
    form = closed_form(likelihood, prior, True)
    problem = problem_at(likelihood, 0, prior, WIDTH, ACTION, form)
    statistics = least_squares(likelihood, 0, form.centre)
    options = {"discrepancy": True, "hierarchical": True}
    for s, size, u in ((0.3, 12.0, [0.4, -1.0]), (1.1, 50.0, [-2.0, 0.5])):

        def couplings(u, s=s, size=size):
            values = {"discrepancy": s, "natural_size": size, "standardized": u}
            given = {name: jax.numpy.asarray(value) for name, value in values.items()}
            model = substitute(correlator_model, given)
            sites = trace(model).get_trace(problem, **options)
            found = log_density(correlator_model, (problem,), options, given)[0]
            return np.asarray(sites["dimensionless"]["value"]), float(found)

        with jax.enable_x64(True):
            (c, found), *moved = (
                couplings(np.array(u) + e) for e in (*np.eye(3, 2, -1),)
            )
        frame = np.stack([one - c for one, _ in moved], axis=1)
        scales = (size / WIDTH) ** np.array([1.0, 2.0])
        expected = stats.norm.logpdf(c, 0, scales).sum()
        expected += np.log(abs(np.linalg.det(frame)))
        expected += stats.lognorm.logpdf(size, 0.7, scale=20.0)
        expected += stats.halfnorm.logpdf(s)
        left = statistics.projection @ (
            likelihood.amplitudes - likelihood.expected(0, c)
        )
        factor = estimate_factors(statistics, np.array([s]))[0]
        law = stats.multivariate_normal(np.zeros(2), factor @ factor.T)
        shape, rate = misfit_law(statistics, s)
        expected += law.logpdf(left)
        expected += stats.gamma.logpdf(statistics.residual, shape, scale=1 / rate)
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_quadratic_predictions_enter_whole():
    """Noise so large that the tangent will not do: the grid sees both, NUTS too."""
    prior = nnft.Prior(natural_size=20.0, spread=0.0)
    problem = quadratic_problem(0.6)
    forms, out = sample([problem], prior, False, num_samples=3000)
    mean, sd, _ = brute_force(problem, prior, forms[0].centre, TRUE, 4.0)
    tangent_mean, tangent_sd = forms[0].moments()
    draws = out["dimensionless"][:, :, 0]
    for operator in range(2):
        assert_same(draws[..., operator], mean[operator], sd[operator])
    ess = float(az.ess(draws[..., 0]))
    off = np.abs(tangent_mean - mean) / (sd / np.sqrt(ess))
    assert max(off.max(), np.abs(tangent_sd / sd - 1).max() * np.sqrt(ess)) > 6


@pytest.mark.parametrize("noise", [1e-2, 1e-3])
def test_tight_data_need_the_tangent_only(noise):
    """Error of the linearisation relative to the posterior: of order δc, here noise."""
    prior = nnft.Prior(natural_size=20.0, spread=0.0)
    problem = quadratic_problem(noise)
    form = closed_form(problem, prior, False)
    assert form.settled
    found_mean, found_sd = form.moments()
    width = 8 * found_sd.max()
    mean, sd, log_evidence = brute_force(problem, prior, form.centre, found_mean, width)
    np.testing.assert_allclose((found_mean - mean) / sd, 0, atol=3 * noise)
    np.testing.assert_allclose(found_sd, sd, rtol=3 * noise)
    assert form.log_evidence == pytest.approx(log_evidence, abs=3 * noise)
    assert np.abs(found_mean - TRUE).max() < 5 * found_sd.max()


def test_a_closed_form_that_does_not_settle_is_refused(monkeypatch):
    monkeypatch.setattr(conjugate, "_MAX_STEPS", 1)
    form = closed_form(quadratic_problem(1e-2), nnft.Prior(), True)
    assert not form.settled
