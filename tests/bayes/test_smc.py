import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.infer.util import log_density

import nnft_ppl as nnft
from nnft_ppl.bayes.chained import Problem, _answer, kernel_model
from nnft_ppl.bayes.scales import Scales
from nnft_ppl.bayes.smc import _energies, _next_power, _side_by_side


def test_a_step_leaves_half_of_the_particles_effective():
    log_likelihood = np.random.default_rng(0).normal(0, 50, 2000)
    power = _next_power(0.25, log_likelihood)
    weights = np.exp((power - 0.25) * (log_likelihood - log_likelihood.max()))
    assert weights.sum() ** 2 / (weights**2).sum() == pytest.approx(1000, rel=1e-3)
    assert _next_power(0.25, log_likelihood / 1000) == 1.0


def test_particles_side_by_side_divide_all():
    assert [_side_by_side(n) for n in (4000, 120, 64, 7)] == [50, 60, 64, 7]


def test_likelihood_and_prior_are_told_apart():
    net = nnft.network("erf-net", width=3, input_dim=1, weight_std=1.0, bias_std=0.5)
    scales = Scales.checked(dist.LogNormal(-1.0, 0.5))
    y = np.array([[0.3], [-0.2]])
    with jax.enable_x64(True):
        problem = Problem(np.array([[0.1], [0.9]]), np.array([0, 1]), y, scales)
        rng = np.random.default_rng(1)
        sites = {"W0": rng.normal(size=(1, 3)), "b0": rng.normal(size=3)}
        position = {**sites, "noise_std": np.log(0.4)}
        of_prior, log_likelihood = _energies(position, problem, net)
        params = {**sites, "noise_std": 0.4}
        both, _ = log_density(kernel_model, (problem, net), {}, params)
    # W0 ~ N(0, 1), b0 ~ N(0, 0.5²), log σ ~ N(−1, 0.5²): from the definition.
    expected = (
        0.5 * (sites["W0"] ** 2 + np.log(2 * np.pi)).sum()
        + 0.5 * ((sites["b0"] / 0.5) ** 2 + np.log(2 * np.pi * 0.25)).sum()
        + 0.5 * (((np.log(0.4) + 1) / 0.5) ** 2 + np.log(2 * np.pi * 0.25))
    )
    assert float(of_prior) == pytest.approx(expected, rel=1e-10)
    # The density of σ is that of log σ over σ.
    assert float(log_likelihood) == pytest.approx(
        float(both) + expected + np.log(0.4), rel=1e-10
    )


@pytest.mark.parametrize("draws", [1, 3])
def test_a_few_draws_of_one_chain_tell_no_error(draws):
    mean = np.random.default_rng(0).normal(size=(1, draws, 2, 1))
    answer, effective, _ = _answer(mean, np.ones((1, draws, 2)))
    assert (answer.mean_error == np.inf).all()
    assert effective == 1
    two = np.concatenate([mean, -mean])
    assert np.isfinite(_answer(two, np.ones((2, draws, 2)))[0].mean_error).all()
