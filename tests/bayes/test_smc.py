import warnings

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.infer.util import log_density

import nnft_ppl as nnft
from nnft_ppl.bayes.by_weights import PosteriorWarning
from nnft_ppl.bayes.chained import Problem, _answer, kernel_model
from nnft_ppl.bayes.particles import _energies, _side_by_side
from nnft_ppl.bayes.scales import Scales
from nnft_ppl.bayes.smc import _next_power


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


def posterior_by(method, **options):
    net = nnft.network("erf-net", width=3, input_dim=1, weight_std=1.5, bias_std=0.5)
    x, y = np.linspace(-1, 1, 6), np.array([0.9, 0.2, -0.6, -0.5, 0.4, 1.0])
    given = {"num_draws": 500, "num_samples": 40, "num_chains": 2, "num_warmup": 30}
    given |= {"noise_std": 0.1, "key": jax.random.key(5)}
    with warnings.catch_warnings():  # so few particles do not agree
        warnings.simplefilter("ignore", PosteriorWarning)
        return nnft.posterior(net, x, y, [0.5], method=method, **{**given, **options})


@pytest.mark.parametrize(
    ("method", "file", "said"),
    [
        ("smc", "state", "SMC stopped after 2 steps, at 0"),
        ("auto", "state.next", "SMC stopped after 2 steps, at 0"),
        ("nuts", "state", "NUTS stopped after"),
    ],
)
def test_an_interrupted_run_goes_on_with_the_same_bits(tmp_path, method, file, said):
    place, told = tmp_path / "state", []

    def interrupt(progress):
        told.append(progress.unit)
        if progress.unit != "networks" and told.count(progress.unit) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=said) as caught:
        posterior_by(method, checkpoint=place, progress=interrupt)
    assert f"kept in `{tmp_path / file}`" in str(caught.value)
    assert (tmp_path / file).exists()
    found = posterior_by(method, checkpoint=place)
    whole = posterior_by(method)
    assert found.data.equals(whole.data)
    # Finished, it gives the same at once; other work is refused.
    at_once = posterior_by(method, checkpoint=place)
    assert at_once.data.equals(whole.data)
    with pytest.raises(nnft.SpecError, match=r"of other work: its scales\.noise_std"):
        posterior_by(method, checkpoint=place, noise_std=0.2)


@pytest.mark.parametrize("draws", [1, 3])
def test_a_few_draws_of_one_chain_tell_no_error(draws):
    mean = np.random.default_rng(0).normal(size=(1, draws, 2, 1))
    answer, effective, _ = _answer(mean, np.ones((1, draws, 2)))
    assert (answer.mean_error == np.inf).all()
    assert effective == 1
    two = np.concatenate([mean, -mean])
    assert np.isfinite(_answer(two, np.ones((2, draws, 2)))[0].mean_error).all()
